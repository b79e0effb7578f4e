package acl

// Storage, in the area that New is given:
//
//	p/<name>   a stored policy (type stored), under its canonical name
//
// The built-in policies root and response-wrapping are never stored.
var policyPrefix = []byte("p/")

func policyKey(name string) []byte {
	return append(append(make([]byte, 0, len(policyPrefix)+len(name)), policyPrefix...), name...)
}
