package dispatcher

import (
	"fmt"
	"strconv"
	"time"

	"github.com/docker/go-units"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/storage"
)

// watched lists the streams that are looked at regularly. seen is told what each
// says of itself.
func (s Streams) watched(seen func(*jetstream.StreamInfo)) []storage.Stream {
	return []storage.Stream{
		{Name: s.Stream, Label: "events", Subject: s.Subject, Consumer: s.Consumer, Seen: seen},
		{Name: s.ParkedStream, Label: "parked", Seen: seen},
		{Name: s.DeadLetterStream, Label: "dead_letters", Subject: s.DeadLetterSubject, Seen: seen},
	}
}

// limit is a size as the server has it: no limit is -1.
func limit(size int) int64 {
	if size == 0 {
		return -1
	}
	return int64(size)
}

// setAside says what room NATS has to have for a stream: without it, it does not
// create one.
func setAside(bytes int64) string {
	if bytes <= 0 {
		return ""
	}
	return fmt.Sprintf(", for which NATS sets %s aside,", sizeInWords(bytes))
}

// compareRetention tells where a stream keeps more or less than is configured.
// Nobody but its owner changes it: what is deleted by that is gone.
func (s *StreamSet) compareRetention(want, have jetstream.StreamConfig) {
	prefix := "nats."
	switch want.Name {
	case s.cfg.ParkedStream:
		return
	case s.cfg.DeadLetterStream:
		prefix = "nats.dead_letter_"
	}
	if have.MaxAge != want.MaxAge {
		s.warn(fmt.Sprintf("stream %s keeps messages %s, and %smax_age says %s: set that, or run: nats stream edit %s --max-age=%s",
			want.Name, inWords(have.MaxAge), prefix, inWords(want.MaxAge), want.Name, hours(want.MaxAge)))
	}
	if max(have.MaxBytes, 0) != max(want.MaxBytes, 0) {
		s.warn(fmt.Sprintf("stream %s may hold %s, and %smax_bytes says %s: set that, or run: nats stream edit %s --max-bytes=%d",
			want.Name, sizeInWords(have.MaxBytes), prefix, sizeInWords(want.MaxBytes), want.Name, want.MaxBytes))
	}
}

func inWords(age time.Duration) string {
	if age == 0 {
		return "for ever"
	}
	return "for " + hours(age)
}

// hours writes a duration without the zeros that Go appends to whole hours.
func hours(d time.Duration) string {
	if d > 0 && d%time.Hour == 0 {
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	}
	return d.String()
}

func sizeInWords(bytes int64) string {
	if bytes <= 0 {
		return "any size"
	}
	return units.HumanSize(float64(bytes))
}
