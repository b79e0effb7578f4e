package edge

// Keys below the room's own prefix:
//
//	quota/config     QuotaConfig
//	quota/rate/NAME  Quota
//	cors             CORS
//	header/NAME      headerRecord, NAME in its canonical form
var (
	quotaConfigKey = []byte("quota/config")
	quotaPrefix    = []byte("quota/rate/")
	corsKey        = []byte("cors")
	headerPrefix   = []byte("header/")
)

func quotaKey(name string) []byte {
	return append(quotaPrefix[:len(quotaPrefix):len(quotaPrefix)], name...)
}
func headerKey(name string) []byte {
	return append(headerPrefix[:len(headerPrefix):len(headerPrefix)], name...)
}
