// Package schema describes the program's interfaces to other programs, each in
// the language that there is for it: JSON Schema, AsyncAPI, OpenAPI. Everything
// is read off what the program itself goes by.
package schema

import (
	"bytes"
	"encoding/json"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// object is a JSON object in the making.
type object = map[string]any

// Event describes messages that producers publish, as they are checked with a
// configuration.
func Event(cfg *config.Config) any {
	worker := cfg.Dispatcher()
	return event.JSONSchema(worker.Rules, worker.FilledChannels()...)
}

// Marshal renders a description, for people as well.
func Marshal(description any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(description)
	return text.Bytes(), err
}

// Kinds lists what can be described.
func Kinds() []string { return []string{"event", "config", "asyncapi", "openapi"} }

// Of describes one of the [Kinds] with a configuration; nil if it is none.
func Of(kind string, cfg *config.Config) any {
	switch kind {
	case "event":
		return Event(cfg)
	case "config":
		return Config()
	case "asyncapi":
		return AsyncAPI(cfg)
	case "openapi":
		return OpenAPI()
	default:
		return nil
	}
}
