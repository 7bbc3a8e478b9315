// Command csi is a driver of volumes for tests: each is a file of this machine with a file system of its
// size, mounted through a loop device, which grows while pods write to it.
//
//	csi NODE FOLDER REGISTRATION
//
// It speaks CSI on the socket csi.sock of its folder, where the files are, too, and presents itself to the
// kubelet on the socket REGISTRATION, as node-driver-registrar does for other drivers. Every request may be
// repeated, and nothing is remembered but what the files and the mounts say.
package main

import (
	"context"
	"log"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const name = "disks.csi.windlass.test"

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	if len(os.Args) != 4 {
		log.Fatal("usage: csi NODE FOLDER REGISTRATION")
	}
	node, folder, registrar := os.Args[1], os.Args[2], os.Args[3]
	socket := filepath.Join(folder, "csi.sock")
	driver := &driver{node: node, folder: folder}
	server := grpc.NewServer(grpc.UnaryInterceptor(oneByOne()))
	csi.RegisterIdentityServer(server, driver)
	csi.RegisterControllerServer(server, driver)
	csi.RegisterNodeServer(server, driver)
	listener := listen(socket)
	go func() { log.Fatal(server.Serve(listener)) }()

	// Last: the kubelet asks the other socket as soon as it finds this one.
	present := grpc.NewServer()
	registration.RegisterRegistrationServer(present, &presenter{socket: socket})
	log.Fatal(present.Serve(listen(registrar)))
}

// Listens on a socket, which an earlier process may have left.
func listen(socket string) net.Listener {
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

// Answers one request after another, which spares locks of volumes, and logs those that were not answered.
func oneByOne() grpc.UnaryServerInterceptor {
	var turn sync.Mutex
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		turn.Lock()
		defer turn.Unlock()
		answer, err := handle(ctx, request)
		if err != nil {
			log.Printf("%s %v: %v", info.FullMethod, request, err)
		} else if of, is := request.(interface{ GetVolumeId() string }); is {
			log.Printf("%s of %s", info.FullMethod, of.GetVolumeId())
		}
		return answer, err
	}
}

// What the kubelet asks a plugin that it has found.
type presenter struct {
	registration.UnimplementedRegistrationServer
	socket string
}

func (it *presenter) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type:              registration.CSIPlugin,
		Name:              name,
		Endpoint:          it.socket,
		SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (it *presenter) NotifyRegistrationStatus(_ context.Context, said *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if !said.GetPluginRegistered() {
		log.Fatalf("the kubelet does not take it: %s", said.GetError())
	}
	return &registration.RegistrationStatusResponse{}, nil
}

type driver struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedControllerServer
	csi.UnimplementedNodeServer
	node, folder string
}

func (it *driver) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: name, VendorVersion: "1"}, nil
}

func (it *driver) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{}, nil
}

func (it *driver) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	return &csi.GetPluginCapabilitiesResponse{Capabilities: []*csi.PluginCapability{
		{Type: &csi.PluginCapability_Service_{Service: &csi.PluginCapability_Service{
			Type: csi.PluginCapability_Service_CONTROLLER_SERVICE,
		}}},
		{Type: &csi.PluginCapability_VolumeExpansion_{VolumeExpansion: &csi.PluginCapability_VolumeExpansion{
			Type: csi.PluginCapability_VolumeExpansion_ONLINE,
		}}},
	}}, nil
}
