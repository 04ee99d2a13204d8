package graph

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Meta says mostly nothing of which event of a request is at fault. Where it
// does, it is an index in error_data, or a JSON path in a sentence, as in
// "$['data'][0]['custom_data']['contents'] must be an array" (seen live with
// 2804019). The path is not translated.

// eventPath finds an event in a JSON path, in either notation. Other lists that
// end in data (custom_data, user_data) are none of events.
var eventPath = regexp.MustCompile(`(?:^|[^A-Za-z0-9_])data(?:['"]\])?\[(\d{1,9})\]`)

// namedEvent is the index of the event that an error seems to name, or -1.
func namedEvent(wire *wireError) int {
	data := unwrapped(wire.Data)
	var named struct {
		Index *int `json:"event_index"`
	}
	if json.Unmarshal(data, &named) == nil && named.Index != nil && *named.Index >= 0 && *named.Index < event.MaxEvents {
		return *named.Index
	}
	for _, text := range append(texts(data), wire.UserMessage, wire.Message, wire.UserTitle) {
		if index := pathIndex(text); index >= 0 {
			return index
		}
	}
	return -1
}

// unwrapped is error_data, which is an object, or a string with an object in it.
func unwrapped(data json.RawMessage) json.RawMessage {
	var text string
	if json.Unmarshal(data, &text) == nil && strings.HasPrefix(strings.TrimSpace(text), "{") {
		return json.RawMessage(text)
	}
	return data
}

// texts are the texts in error_data.
func texts(data json.RawMessage) (all []string) {
	var text string
	if json.Unmarshal(data, &text) == nil {
		return []string{text}
	}
	var members map[string]any
	_ = json.Unmarshal(data, &members) // nothing is in what cannot be read
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if text, ok := members[name].(string); ok {
			all = append(all, text)
		}
	}
	return all
}

// pathIndex is the index of the event that a text's first path leads to, or -1.
func pathIndex(text string) int {
	found := eventPath.FindStringSubmatch(text)
	if found == nil {
		return -1
	}
	index, err := strconv.Atoi(found[1])
	if err != nil || index >= event.MaxEvents {
		return -1
	}
	return index
}
