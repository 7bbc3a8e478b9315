"""Serves a port (7001), a page (7002) and the health service of gRPC (7003) at an address.

    health.py ADDRESS FILE

The page /health is there at once. The service data says SERVING once there is the file.
"""
import http.server
import os
import socket
import sys
import threading
from concurrent import futures

import grpc

address, serving = sys.argv[1:]


def check(request, context):
    # A message of one text, as grpc.health.v1 has it: the tag, the length, the text.
    if request[2:] != b"data":
        context.abort(grpc.StatusCode.NOT_FOUND, "there is only data")
    return b"\x08\x01" if os.path.exists(serving) else b"\x08\x02"


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()


port = socket.create_server((address, 7001))
page = http.server.ThreadingHTTPServer((address, 7002), Page)
threading.Thread(target=page.serve_forever, daemon=True).start()
server = grpc.server(futures.ThreadPoolExecutor(2))
method = grpc.unary_unary_rpc_method_handler(check)
handlers = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})
server.add_generic_rpc_handlers((handlers,))
assert server.add_insecure_port(f"{address}:7003")
server.start()
while True:
    port.accept()[0].close()
