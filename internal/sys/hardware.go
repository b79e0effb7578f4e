package sys

import (
	"bufio"
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"jeton/internal/backend"
)

// clockTicks is the number of a CPU counter's steps in a second; Linux shows all programs 100.
const clockTicks = 100

func (s *System) hardwareRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "host-info", Summary: "The machine that this server runs on.", Read: backend.Handle(s.hostInfo)},
		{Pattern: "ha-status", Summary: "The servers of this cluster: this one.", Inject: true, Read: backend.Handle(s.haStatus)},
	}
}

type haNode struct {
	Hostname       string  `json:"hostname"`
	APIAddress     string  `json:"api_address"`
	ClusterAddress string  `json:"cluster_address"`
	ActiveNode     bool    `json:"active_node"`
	LastEcho       *string `json:"last_echo"`
	Version        string  `json:"version"`
}

type haReply struct {
	Nodes []haNode `json:"nodes"`
}

func (s *System) haStatus(context.Context, *backend.Call, *backend.None) (*haReply, error) {
	name, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	c := &s.Process.Config
	return &haReply{Nodes: []haNode{{Hostname: name, APIAddress: c.APIAddr, ClusterAddress: c.ClusterAddr, ActiveNode: true, Version: apiVersion}}}, nil
}

// hostReply is what the machine tells of itself; a part that it does not tell is null, and a
// warning says so. Contract: sys §18 host-info.
type hostReply struct {
	Timestamp string     `json:"timestamp"`
	CPU       []cpuInfo  `json:"cpu"`
	CPUTimes  []cpuTimes `json:"cpu_times"`
	Disk      []diskInfo `json:"disk"`
	Host      *hostFacts `json:"host"`
	Memory    *memory    `json:"memory"`
}

type cpuInfo struct {
	CPU       int      `json:"cpu"`
	VendorID  string   `json:"vendorId"`
	Family    string   `json:"family"`
	Model     string   `json:"model"`
	ModelName string   `json:"modelName"`
	Cores     int      `json:"cores"`
	MHz       float64  `json:"mhz"`
	Flags     []string `json:"flags"`
	Microcode string   `json:"microcode"`
}

// cpuTimes are in seconds.
type cpuTimes struct {
	CPU     string  `json:"cpu"`
	User    float64 `json:"user"`
	Nice    float64 `json:"nice"`
	System  float64 `json:"system"`
	Idle    float64 `json:"idle"`
	IOWait  float64 `json:"iowait"`
	IRQ     float64 `json:"irq"`
	SoftIRQ float64 `json:"softirq"`
	Steal   float64 `json:"steal"`
}

// diskInfo is a file system; sizes are in bytes.
type diskInfo struct {
	Path        string  `json:"path"`
	FSType      string  `json:"fstype"`
	Total       uint64  `json:"total"`
	Free        uint64  `json:"free"`
	Used        uint64  `json:"used"`
	UsedPercent float64 `json:"usedPercent"`
	InodesTotal uint64  `json:"inodesTotal"`
	InodesFree  uint64  `json:"inodesFree"`
	InodesUsed  uint64  `json:"inodesUsed"`
}

// hostFacts are of the operating system; times are in seconds.
type hostFacts struct {
	Hostname        string `json:"hostname"`
	Uptime          int64  `json:"uptime"`
	BootTime        int64  `json:"bootTime"`
	Procs           int    `json:"procs"`
	OS              string `json:"os"`
	Platform        string `json:"platform"`
	PlatformVersion string `json:"platformVersion"`
	KernelVersion   string `json:"kernelVersion"`
	KernelArch      string `json:"kernelArch"`
}

// memory is in bytes.
type memory struct {
	Total       uint64  `json:"total"`
	Available   uint64  `json:"available"`
	Used        uint64  `json:"used"`
	UsedPercent float64 `json:"usedPercent"`
	Free        uint64  `json:"free"`
	Buffers     uint64  `json:"buffers"`
	Cached      uint64  `json:"cached"`
	SwapTotal   uint64  `json:"swaptotal"`
	SwapFree    uint64  `json:"swapfree"`
}

// hostInfo asks the machine. What cannot be read is a warning and not a failure.
func (s *System) hostInfo(_ context.Context, c *backend.Call, _ *backend.None) (*hostReply, error) {
	now := s.Clock.Now()
	reply := &hostReply{Timestamp: now.Format(time.RFC3339Nano)}
	for _, part := range []struct {
		name string
		read func() error
	}{
		{"cpu", func() (err error) { reply.CPU, err = readCPUs(); return err }},
		{"cpu_times", func() (err error) { reply.CPUTimes, err = readCPUTimes(); return err }},
		{"disk", func() (err error) { reply.Disk, err = readDisks(); return err }},
		{"host", func() (err error) { reply.Host, err = readHost(now); return err }},
		{"memory", func() (err error) { reply.Memory, err = readMemory(); return err }},
	} {
		if err := part.read(); err != nil {
			c.Warn("host information of the kind " + part.name + " is not available on this machine")
		}
	}
	return reply, nil
}

// fields reads "name: value" lines, as files below /proc have them.
func fields(path, separator string, each func(name, value string)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), separator)
		each(strings.TrimSpace(name), strings.Trim(value, " \t\""))
	}
	return lines.Err()
}

func readCPUs() ([]cpuInfo, error) {
	var all []cpuInfo
	err := fields("/proc/cpuinfo", ":", func(name, value string) {
		if name == "processor" {
			n, _ := strconv.Atoi(value)
			all = append(all, cpuInfo{CPU: n, Cores: 1})
		}
		if len(all) == 0 {
			return
		}
		now := &all[len(all)-1]
		switch name {
		case "vendor_id":
			now.VendorID = value
		case "cpu family":
			now.Family = value
		case "model":
			now.Model = value
		case "model name":
			now.ModelName = value
		case "cpu MHz":
			now.MHz, _ = strconv.ParseFloat(value, 64)
		case "flags", "Features":
			now.Flags = strings.Fields(value)
		case "microcode":
			now.Microcode = value
		}
	})
	return all, err
}

func readCPUTimes() ([]cpuTimes, error) {
	var all []cpuTimes
	err := fields("/proc/stat", " ", func(name, value string) {
		if !strings.HasPrefix(name, "cpu") || name == "cpu" {
			return
		}
		var seconds [8]float64
		for i, text := range strings.Fields(value) {
			if i < len(seconds) {
				ticks, _ := strconv.ParseFloat(text, 64)
				seconds[i] = ticks / clockTicks
			}
		}
		all = append(all, cpuTimes{CPU: name, User: seconds[0], Nice: seconds[1], System: seconds[2], Idle: seconds[3],
			IOWait: seconds[4], IRQ: seconds[5], SoftIRQ: seconds[6], Steal: seconds[7]})
	})
	return all, err
}

func readHost(now time.Time) (*hostFacts, error) {
	name, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	host := &hostFacts{Hostname: name, OS: runtime.GOOS, KernelArch: runtime.GOARCH}
	err = fields("/proc/uptime", " ", func(up, _ string) {
		seconds, _ := strconv.ParseFloat(up, 64)
		host.Uptime = int64(seconds)
		host.BootTime = now.Unix() - host.Uptime
	})
	if err != nil {
		return nil, err
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return nil, err
	}
	host.KernelVersion = strings.TrimSpace(string(release))
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			host.Procs++
		}
	}
	// A machine need not say which distribution it runs.
	_ = fields("/etc/os-release", "=", func(name, value string) {
		switch name {
		case "ID":
			host.Platform = value
		case "VERSION_ID":
			host.PlatformVersion = value
		}
	})
	return host, nil
}

func readMemory() (*memory, error) {
	m := &memory{}
	into := map[string]*uint64{"MemTotal": &m.Total, "MemAvailable": &m.Available, "MemFree": &m.Free, "Buffers": &m.Buffers,
		"Cached": &m.Cached, "SwapTotal": &m.SwapTotal, "SwapFree": &m.SwapFree}
	err := fields("/proc/meminfo", ":", func(name, value string) {
		if field, ok := into[name]; ok {
			kibibytes, _ := strconv.ParseUint(strings.TrimSuffix(value, " kB"), 10, 64)
			*field = kibibytes << 10
		}
	})
	if err != nil {
		return nil, err
	}
	m.Used = m.Total - min(m.Total, m.Available)
	if m.Total > 0 {
		m.UsedPercent = 100 * float64(m.Used) / float64(m.Total)
	}
	return m, nil
}
