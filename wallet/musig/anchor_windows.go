package musig

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

func identify(f *os.File) (identity, error) {
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info); err != nil {
		return identity{}, fmt.Errorf("reading the identity of %s: %w", f.Name(), err)
	}
	made := info.CreationTime.Nanoseconds()
	return identity{
		Device:  uint64(info.VolumeSerialNumber),
		Inode:   uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow),
		Changed: fmt.Sprintf("%d.%09d", made/1e9, made%1e9),
	}, nil
}
