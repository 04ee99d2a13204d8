package schema

import (
	"reflect"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/docs"
)

// Config describes the configuration file: a JSON Schema (draft 2020-12).
func Config() any {
	root := section()
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Configuration of capi-dispatcher"
	root["description"] = "Unknown keys are refused. What the values are checked for beside their types, and between each other, " +
		"capi-dispatcher config check tells."
	meanings, defaults := meanings(), defaults()
	for _, field := range config.Fields() {
		value := valueOf(field)
		value["description"] = meanings[field.Key]
		if preset, ok := defaults[field.Key]; ok && preset != "" {
			value["default"] = preset
		}
		words := strings.Split(field.Key, ".")
		within(root, words[:len(words)-1])[words[len(words)-1]] = value
	}
	return root
}

// section is an object of which all keys are known. It may stand empty.
func section() object {
	return object{"type": []string{"object", "null"}, "additionalProperties": false, "properties": object{}}
}

// within returns the properties of the section at a path, which is made if it is
// not there.
func within(at object, path []string) object {
	for _, word := range path {
		if word == "*" {
			inner, ok := at["additionalProperties"].(object)
			if !ok {
				inner = section()
				at["additionalProperties"] = inner
			}
			at = inner
			continue
		}
		properties := at["properties"].(object)
		if properties[word] == nil {
			properties[word] = section()
		}
		at = properties[word].(object)
	}
	return at["properties"].(object)
}

// valueOf returns what a value has to be.
func valueOf(field config.Field) object {
	switch {
	case field.Type == reflect.TypeFor[time.Duration]():
		return object{"type": "string", "pattern": `^(0|-?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*)$`}
	case field.Type.Kind() == reflect.Bool:
		return object{"type": "boolean"}
	case field.Type.Kind() == reflect.Int:
		return object{"anyOf": []object{{"type": "integer"}, {"type": "string", "pattern": `^\d+(\.\d+)?\s?[kKMGTP]?[bB]?$`}}}
	case field.Type.Kind() == reflect.Slice:
		return object{"anyOf": []object{{"type": "array", "items": object{"type": "string"}}, {"type": "string"}}}
	case strings.HasSuffix(field.Key, ".dataset"): // ids are often written without quotes
		return object{"type": []string{"string", "integer"}}
	default:
		return object{"type": "string"}
	}
}

// meanings are what docs/configuration.md says of each key.
func meanings() map[string]string {
	found := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_.*]+)` \\|.*?\\| (.+) \\|$").FindAllStringSubmatch(docs.Configuration(), -1) {
		found[row[1]] = row[2]
	}
	return found
}

// defaults are the default values, as a file would have them.
func defaults() map[string]any {
	preset := config.Default()
	found := make(map[string]any)
	var tree map[string]any
	if text, err := preset.YAML(); err == nil {
		_ = yaml.Unmarshal([]byte(text), &tree) // we have written it ourselves
	}
	flatten("", tree, found)
	return found
}

func flatten(prefix string, tree map[string]any, into map[string]any) {
	for key, value := range tree {
		if inner, ok := value.(map[string]any); ok {
			flatten(prefix+key+".", inner, into)
		} else {
			into[prefix+key] = value
		}
	}
}
