package config

import (
	"reflect"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// Keys lists every key of the configuration, in the order of the file. Where
// the user chooses a name, as for a dataset, it holds *.
func Keys() (keys []string) {
	for _, field := range Fields() {
		keys = append(keys, field.Key)
	}
	return keys
}

// Field is a key of the configuration and the type of its value.
type Field struct {
	Key  string
	Type reflect.Type
}

// Fields lists every key with its type, like [Keys].
func Fields() []Field { return fieldsOf(reflect.TypeFor[Config](), "") }

func fieldsOf(t reflect.Type, prefix string) (all []Field) {
	for field := range fields(t) {
		name, option, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case name == "-":
		case option == "inline":
			all = append(all, fieldsOf(field.Type, prefix)...)
		case field.Type.Kind() == reflect.Struct:
			all = append(all, fieldsOf(field.Type, prefix+name+".")...)
		case field.Type.Kind() == reflect.Map:
			all = append(all, fieldsOf(field.Type.Elem(), prefix+name+".*.")...)
		default:
			all = append(all, Field{Key: prefix + name, Type: field.Type})
		}
	}
	return all
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
