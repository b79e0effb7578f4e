package audit

// Keys in the audit area. All records are encoded by package record.
//
//	d/<path>   deviceRecord: one device, its options and its salt ("d/file/")
//	h          headersRecord: which request headers are written
//	c/<path>   saltRecord: the salt of a device that the server's configuration names
//
// A device is one record, its salt included: enabling and disabling are one write each, and a
// device that was disabled leaves no salt behind.
var (
	devicePrefix = []byte("d/")
	headersKey   = []byte("h")
)

func deviceKey(path string) []byte { return append([]byte("d/"), path...) }

func configuredKey(path string) []byte { return append([]byte("c/"), path...) }

// deviceRecord is a device as it is stored.
type deviceRecord struct {
	Type        string            `cbor:"1,keyasint,omitempty"`
	Description string            `cbor:"2,keyasint,omitempty"`
	Options     map[string]string `cbor:"3,keyasint,omitempty"`
	Local       bool              `cbor:"4,keyasint,omitempty"`
	// Salt is the text of a UUID; its 36 characters are the key of the hashes.
	Salt string `cbor:"5,keyasint,omitempty"`
}

// saltRecord keeps the salt of a configured device over restarts.
type saltRecord struct {
	Salt string `cbor:"1,keyasint,omitempty"`
}

// headersRecord is the table of written request headers.
type headersRecord struct {
	// Headers maps a lower-case name to whether its values are hashed.
	Headers map[string]bool `cbor:"1,keyasint,omitempty"`
}
