package config

// DevOptions are the flags of the dev server that shape its configuration.
type DevOptions struct {
	// Address is host:port; "" is DefaultAddress.
	Address string
	// CertFile and KeyFile switch TLS on.
	CertFile, KeyFile string
}

// Dev is the configuration of a dev server that reads no files and no environment.
func Dev(o DevOptions) Config {
	d := &decoder{cfg: devBase(o), env: func(string) (string, bool) { return "", false }}
	d.finish()
	return *d.cfg
}

// devBase is a server for trying things out: all in memory, and open about itself
// (contract: config §8). It leaves to fallbacks what a file may want to set.
func devBase(o DevOptions) *Config {
	l := newListener()
	l.Network, l.Source = "tcp", "-dev"
	l.Address = o.Address
	orElse(&l.Address, DefaultAddress)
	l.TLS.Disable, l.TLS.CertFile, l.TLS.KeyFile = o.CertFile == "", o.CertFile, o.KeyFile
	l.Exposure = Exposure{UnauthenticatedMetrics: true, UnauthenticatedPprof: true, UnauthenticatedInFlight: true}
	return &Config{
		Listeners: []Listener{l},
		Storage:   Storage{Type: StorageMemory, Declared: StorageMemory, Source: "-dev"},
		Telemetry: newTelemetry(),
		Features:  Features{UI: true, RawStorageEndpoint: true, IntrospectionEndpoint: true, DisableMlock: true},
	}
}
