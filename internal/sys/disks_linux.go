package sys

import (
	"strings"
	"syscall"
)

// readDisks are the file systems that lie on a device.
func readDisks() ([]diskInfo, error) {
	var all []diskInfo
	err := fields("/proc/mounts", " ", func(device, rest string) {
		parts := strings.Fields(rest)
		if !strings.HasPrefix(device, "/dev/") || len(parts) < 2 {
			return
		}
		var fs syscall.Statfs_t
		if syscall.Statfs(parts[0], &fs) != nil || fs.Blocks == 0 {
			return
		}
		size := uint64(fs.Bsize)
		d := diskInfo{Path: parts[0], FSType: parts[1], Total: fs.Blocks * size, Free: fs.Bavail * size,
			Used: (fs.Blocks - fs.Bfree) * size, InodesTotal: fs.Files, InodesFree: fs.Ffree, InodesUsed: fs.Files - fs.Ffree}
		d.UsedPercent = 100 * float64(d.Used) / float64(d.Total)
		all = append(all, d)
	})
	return all, err
}
