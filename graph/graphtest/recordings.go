package graphtest

import (
	"bytes"
	"embed"
	"encoding/json"
	"mime/multipart"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

//go:embed samples/sdk/*.json
var recordingFiles embed.FS

// Recording is a request as one of Meta's SDKs makes it, or curl after Meta's
// documents.
type Recording struct {
	// Name is who sends what: "python-website".
	Name string
	// Query goes behind the path, after a question mark.
	Query       string
	ContentType string
	UserAgent   string
	Body        []byte
	// Events is how many there are.
	Events int
}

// Recordings returns requests of Meta's business SDKs for Python, PHP and
// Node.js, and of curl, with this token, appsecret_proof and event_time. They
// are written down from what the SDKs send.
func Recordings(token, proof string, at time.Time) []Recording {
	files, err := recordingFiles.ReadDir("samples/sdk")
	if err != nil {
		panic(err) // they are part of the binary
	}
	fill := strings.NewReplacer("{token}", token, "{proof}", proof, "1675999999", strconv.FormatInt(at.Unix(), 10))
	recordings := make([]Recording, len(files))
	for i, file := range files {
		text, err := recordingFiles.ReadFile(path.Join("samples/sdk", file.Name()))
		if err != nil {
			panic(err)
		}
		var written recording
		if err := json.Unmarshal([]byte(fill.Replace(string(text))), &written); err != nil {
			panic(err)
		}
		recordings[i] = written.encoded(strings.TrimSuffix(file.Name(), ".json"))
	}
	return recordings
}

// recording is a request as it is written down.
type recording struct {
	UserAgent string            `json:"user_agent"`
	Type      string            `json:"type"` // json, urlencoded or multipart
	Query     map[string]string `json:"query"`
	// EncodeEvents makes each event a text with JSON in it, within the list.
	EncodeEvents bool                       `json:"encode_events"`
	Fields       map[string]json.RawMessage `json:"fields"`
}

func (r *recording) encoded(name string) Recording {
	made := Recording{Name: name, Query: values(r.Query).Encode(), UserAgent: r.UserAgent}
	var events []json.RawMessage
	_ = json.Unmarshal(r.Fields["data"], &events)
	made.Events = len(events)
	if r.EncodeEvents {
		r.Fields["data"] = encodeEach(events)
	}
	switch r.Type {
	case "urlencoded":
		made.ContentType, made.Body = "application/x-www-form-urlencoded", []byte(values(r.texts()).Encode())
	case "multipart":
		made.ContentType, made.Body = r.multipart()
	default:
		made.ContentType = "application/json"
		made.Body, _ = json.Marshal(r.Fields)
	}
	return made
}

func encodeEach(events []json.RawMessage) json.RawMessage {
	texts := make([]string, len(events))
	for i, event := range events {
		texts[i] = string(compact(event))
	}
	encoded, _ := json.Marshal(texts)
	return encoded
}

// texts are the fields as a form holds them: a text as it is, anything else as
// JSON.
func (r *recording) texts() map[string]string {
	texts := make(map[string]string)
	for name, value := range r.Fields {
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(compact(value))
		}
		texts[name] = text
	}
	return texts
}

func (r *recording) multipart() (contentType string, body []byte) {
	var buffer bytes.Buffer
	writer := multipart.NewWriter(&buffer)
	for name, text := range r.texts() {
		_ = writer.WriteField(name, text)
	}
	_ = writer.Close()
	return writer.FormDataContentType(), buffer.Bytes()
}

func compact(value json.RawMessage) []byte {
	var buffer bytes.Buffer
	_ = json.Compact(&buffer, value) // it has been read before
	return buffer.Bytes()
}

func values(texts map[string]string) url.Values {
	all := make(url.Values)
	for name, text := range texts {
		all.Set(name, text)
	}
	return all
}
