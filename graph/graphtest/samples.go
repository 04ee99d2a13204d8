package graphtest

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"
)

//go:embed samples/*.json
var sampleFiles embed.FS

// Sample is one of the payloads in Meta's documents, its placeholders filled
// in and its slips of JSON mended.
type Sample struct {
	// Name is the document's language and the channel: "de-whatsapp".
	Name string
	// Body is the whole request body.
	Body []byte
	// Event is the single event in it.
	Event []byte
}

// Samples returns the payloads of the German (2023), Japanese and English
// (2024) onboarding guides for each channel, with the given event_time. The
// ids are longer than a float64 can hold.
func Samples(at time.Time) []Sample {
	files, err := sampleFiles.ReadDir("samples")
	if err != nil {
		panic(err) // they are part of the binary
	}
	samples := make([]Sample, len(files))
	for i, file := range files {
		text, err := sampleFiles.ReadFile(path.Join("samples", file.Name()))
		if err != nil {
			panic(err)
		}
		body := bytes.Replace(text, []byte("1675999999"), fmt.Append(nil, at.Unix()), 1)
		var request request
		if err := json.Unmarshal(body, &request); err != nil {
			panic(err)
		}
		samples[i] = Sample{Name: strings.TrimSuffix(file.Name(), ".json"), Body: body, Event: request.Data[0]}
	}
	return samples
}
