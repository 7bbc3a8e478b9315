package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	mib = 1 << 20
	// What a volume has that nobody gave a size; xfs is not made smaller.
	least = 300 * mib
)

func (it *driver) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	answer := &csi.ControllerGetCapabilitiesResponse{}
	for _, can := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_EXPAND_VOLUME,
	} {
		answer.Capabilities = append(answer.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: can}},
		})
	}
	return answer, nil
}

func (it *driver) CreateVolume(_ context.Context, request *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	if request.GetVolumeContentSource() != nil {
		return nil, status.Error(codes.InvalidArgument, "volumes begin empty")
	}
	system, err := fileSystem(request.GetVolumeCapabilities())
	if err != nil {
		return nil, err
	}
	file, err := it.file(request.GetName())
	if err != nil {
		return nil, err
	}
	size, err := sizeFor(request.GetCapacityRange(), least)
	if err != nil {
		return nil, err
	}
	if is, err := os.Stat(file); err == nil {
		if is.Size() < size {
			return nil, status.Errorf(codes.AlreadyExists, "%s is there with %d bytes", request.GetName(), is.Size())
		}
		size = is.Size()
	} else if err := makeDisk(file, size, system); err != nil {
		return nil, internal(err)
	}
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{VolumeId: request.GetName(), CapacityBytes: size}}, nil
}

// The file has its name only when its file system is complete.
func makeDisk(file string, size int64, system string) error {
	unfinished := file + ".new"
	if err := os.WriteFile(unfinished, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(unfinished, size); err != nil {
		return err
	}
	overwrite := map[string]string{"xfs": "-f", "ext4": "-F"}[system]
	if err := run("mkfs."+system, "-q", overwrite, unfinished); err != nil {
		return err
	}
	return os.Rename(unfinished, file)
}

// What is mounted still stays as long as it is.
func (it *driver) DeleteVolume(_ context.Context, request *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	file, err := it.file(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		return nil, internal(err)
	}
	return &csi.DeleteVolumeResponse{}, nil
}

func (it *driver) ValidateVolumeCapabilities(_ context.Context, request *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if _, err := it.existing(request.GetVolumeId()); err != nil {
		return nil, err
	}
	if _, err := fileSystem(request.GetVolumeCapabilities()); err != nil {
		return &csi.ValidateVolumeCapabilitiesResponse{Message: err.Error()}, nil
	}
	return &csi.ValidateVolumeCapabilitiesResponse{
		Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{VolumeCapabilities: request.GetVolumeCapabilities()},
	}, nil
}

// The file alone grows here, as disks elsewhere do; the node makes its file system larger.
func (it *driver) ControllerExpandVolume(_ context.Context, request *csi.ControllerExpandVolumeRequest) (*csi.ControllerExpandVolumeResponse, error) {
	file, err := it.existing(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	is, err := os.Stat(file)
	if err != nil {
		return nil, internal(err)
	}
	size, err := sizeFor(request.GetCapacityRange(), is.Size())
	if err != nil {
		return nil, err
	}
	if size > is.Size() {
		if err := os.Truncate(file, size); err != nil {
			return nil, internal(err)
		}
	}
	return &csi.ControllerExpandVolumeResponse{CapacityBytes: max(size, is.Size()), NodeExpansionRequired: true}, nil
}

// The file of a volume.
func (it *driver) file(volume string) (string, error) {
	if volume == "" || strings.ContainsAny(volume, "/.") {
		return "", status.Errorf(codes.InvalidArgument, "%q is no name of a volume", volume)
	}
	return filepath.Join(it.folder, volume), nil
}

// The same of one that is there.
func (it *driver) existing(volume string) (string, error) {
	file, err := it.file(volume)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(file); err != nil {
		return "", status.Errorf(codes.NotFound, "there is no volume %s", volume)
	}
	return file, nil
}

// The size that was asked for, in whole MiB.
func sizeFor(asked *csi.CapacityRange, otherwise int64) (int64, error) {
	size := asked.GetRequiredBytes()
	if size == 0 {
		size = otherwise
	}
	size = (size + mib - 1) / mib * mib
	if limit := asked.GetLimitBytes(); limit != 0 && size > limit {
		return 0, status.Errorf(codes.OutOfRange, "%d bytes are more than %d", size, limit)
	}
	return size, nil
}

// The file system that a volume is to have.
func fileSystem(capabilities []*csi.VolumeCapability) (string, error) {
	system := "xfs"
	for _, one := range capabilities {
		if one.GetMount() == nil {
			return "", status.Error(codes.InvalidArgument, "volumes have file systems")
		}
		switch one.GetAccessMode().GetMode() {
		case csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY,
			csi.VolumeCapability_AccessMode_MULTI_NODE_SINGLE_WRITER,
			csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER:
			return "", status.Error(codes.InvalidArgument, "volumes are on one node")
		}
		if given := one.GetMount().GetFsType(); given != "" {
			system = given
		}
	}
	if system != "xfs" && system != "ext4" {
		return "", status.Errorf(codes.InvalidArgument, "a file system is xfs or ext4, and not %s", system)
	}
	return system, nil
}

func internal(err error) error { return status.Error(codes.Internal, err.Error()) }
