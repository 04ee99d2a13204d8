package config

import (
	"reflect"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/config/secret"
)

// Keys lists every key of the configuration, in the order of the file. Where
// the user chooses a name, as for a dataset, it holds *.
func Keys() []string { return keysOf(reflect.TypeFor[Config](), "") }

func keysOf(t reflect.Type, prefix string) (keys []string) {
	for field := range fields(t) {
		name, option, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case option == "inline":
			keys = append(keys, keysOf(field.Type, prefix)...)
		case field.Type.Kind() == reflect.Struct:
			keys = append(keys, keysOf(field.Type, prefix+name+".")...)
		case field.Type.Kind() == reflect.Map:
			keys = append(keys, keysOf(field.Type.Elem(), prefix+name+".*.")...)
		default:
			keys = append(keys, prefix+name)
		}
	}
	return keys
}

// fields ranges over the fields of a struct type.
func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for field := range t.Fields() {
			if !yield(field) {
				return
			}
		}
	}
}

func redactedURLs(text string) bool { return secret.URLs(text).HasCredentials() }
