package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func (it *driver) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: it.node}, nil
}

func (it *driver) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	answer := &csi.NodeGetCapabilitiesResponse{}
	for _, can := range []csi.NodeServiceCapability_RPC_Type{
		csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
		csi.NodeServiceCapability_RPC_GET_VOLUME_STATS,
		csi.NodeServiceCapability_RPC_EXPAND_VOLUME,
	} {
		answer.Capabilities = append(answer.Capabilities, &csi.NodeServiceCapability{
			Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{Type: can}},
		})
	}
	return answer, nil
}

// The loop device goes when nothing mounts it any more.
func (it *driver) NodeStageVolume(_ context.Context, request *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	file, err := it.existing(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	place := request.GetStagingTargetPath()
	if _, is := mounted(place); is {
		return &csi.NodeStageVolumeResponse{}, nil
	}
	if err := mountOn(place, "loop", file); err != nil {
		return nil, internal(err)
	}
	// Whoever a pod runs as may write to its volume.
	if err := os.Chmod(place, 0o777); err != nil {
		return nil, internal(err)
	}
	return &csi.NodeStageVolumeResponse{}, nil
}

func (it *driver) NodeUnstageVolume(_ context.Context, request *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	if err := unmount(request.GetStagingTargetPath()); err != nil {
		return nil, internal(err)
	}
	return &csi.NodeUnstageVolumeResponse{}, nil
}

func (it *driver) NodePublishVolume(_ context.Context, request *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	staged, place := request.GetStagingTargetPath(), request.GetTargetPath()
	if _, is := mounted(staged); !is {
		return nil, status.Errorf(codes.FailedPrecondition, "%s is not staged", request.GetVolumeId())
	}
	if _, is := mounted(place); is {
		return &csi.NodePublishVolumeResponse{}, nil
	}
	how := "bind"
	if request.GetReadonly() {
		how = "bind,ro"
	}
	if err := mountOn(place, how, staged); err != nil {
		return nil, internal(err)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (it *driver) NodeUnpublishVolume(_ context.Context, request *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	place := request.GetTargetPath()
	if err := unmount(place); err != nil {
		return nil, internal(err)
	}
	if err := os.Remove(place); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, internal(err)
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// Tells the loop device that its file has grown, and the file system that its device has.
func (it *driver) NodeExpandVolume(_ context.Context, request *csi.NodeExpandVolumeRequest) (*csi.NodeExpandVolumeResponse, error) {
	file, err := it.existing(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	place := request.GetVolumePath()
	mount, is := mounted(place)
	if !is {
		return nil, status.Errorf(codes.NotFound, "nothing is mounted on %s", place)
	}
	grow := []string{"xfs_growfs", place}
	if mount.system == "ext4" {
		grow = []string{"resize2fs", mount.device}
	}
	if err := run("losetup", "-c", mount.device); err != nil {
		return nil, internal(err)
	}
	if err := run(grow[0], grow[1:]...); err != nil {
		return nil, internal(err)
	}
	size, err := os.Stat(file)
	if err != nil {
		return nil, internal(err)
	}
	return &csi.NodeExpandVolumeResponse{CapacityBytes: size.Size()}, nil
}

func (it *driver) NodeGetVolumeStats(_ context.Context, request *csi.NodeGetVolumeStatsRequest) (*csi.NodeGetVolumeStatsResponse, error) {
	if _, is := mounted(request.GetVolumePath()); !is {
		return nil, status.Errorf(codes.NotFound, "nothing is mounted on %s", request.GetVolumePath())
	}
	var found syscall.Statfs_t
	if err := syscall.Statfs(request.GetVolumePath(), &found); err != nil {
		return nil, internal(err)
	}
	block := found.Bsize
	return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{
		{
			Unit:      csi.VolumeUsage_BYTES,
			Total:     int64(found.Blocks) * block,
			Available: int64(found.Bavail) * block,
			Used:      int64(found.Blocks-found.Bfree) * block,
		},
		{
			Unit:      csi.VolumeUsage_INODES,
			Total:     int64(found.Files),
			Available: int64(found.Ffree),
			Used:      int64(found.Files - found.Ffree),
		},
	}}, nil
}

type mount struct{ device, system string }

// What is mounted on this path itself.
func mounted(place string) (mount, bool) {
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return mount{}, false
	}
	found, is := mount{}, false
	for line := range strings.Lines(string(table)) {
		if words := strings.Fields(line); len(words) > 2 && strings.ReplaceAll(words[1], `\040`, " ") == place {
			found, is = mount{device: words[0], system: words[2]}, true
		}
	}
	return found, is
}

func mountOn(place, how, what string) error {
	if err := os.MkdirAll(place, 0o750); err != nil {
		return err
	}
	return run("mount", "-o", how, what, place)
}

func unmount(place string) error {
	if _, is := mounted(place); !is {
		return nil
	}
	return run("umount", place)
}

// Runs a program of the system, which says why it fails.
func run(program string, arguments ...string) error {
	said, err := exec.Command(program, arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %s (%w)", program, strings.TrimSpace(string(said)), err)
	}
	return nil
}
