#!/bin/bash
# Called by Spark's decommissioning preStop hook: tell the executor to move its blocks away, then
# wait for it to end; the pod's grace period bounds the wait.
# The loop keeps to shell built-ins and sleep, so it needs no procps in the container.
executor=""
for directory in /proc/[0-9]*; do
  if tr '\0' ' ' < "$directory/cmdline" 2>/dev/null | grep -q 'KubernetesExecutorBackend'; then
    executor="${directory#/proc/}"
    break
  fi
done
if [ -z "$executor" ]; then
  exit 0
fi
kill -s PWR "$executor"
while [ -d "/proc/$executor" ]; do
  sleep 1
done
