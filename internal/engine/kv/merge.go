package kv

// mergePatch applies a JSON merge patch (RFC 7396) to target, which it changes and returns:
// null removes a member, objects merge, everything else replaces. Numbers are carried as the
// json.Number that they are, so no digit is lost. patch is not changed.
func mergePatch(target, patch map[string]any) map[string]any {
	if target == nil {
		target = make(map[string]any, len(patch))
	}
	for name, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(target, name)
		case map[string]any:
			inner, _ := target[name].(map[string]any)
			target[name] = mergePatch(inner, value)
		default:
			target[name] = value
		}
	}
	return target
}
