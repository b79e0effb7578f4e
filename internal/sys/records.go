package sys

// Keys below the room's own prefix:
//
//	password/NAME     passwordRecord
//	version/VERSION   versionRecord
//
// (keys.go is about encryption keys.)
var (
	passwordPrefix = []byte("password/")
	versionPrefix  = []byte("version/")
)

func passwordKey(name string) []byte { return append([]byte("password/"), name...) }
func versionKey(name string) []byte  { return append([]byte("version/"), name...) }
