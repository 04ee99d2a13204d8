package streams

import (
	"fmt"
	"strconv"
	"time"

	"github.com/docker/go-units"
	"github.com/nats-io/nats.go/jetstream"
)

// setAside says what room NATS has to have for a stream: without it, it does not
// create one.
func (d *definition) setAside() string {
	if d.MaxBytes <= 0 {
		return ""
	}
	return fmt.Sprintf(", for which NATS sets %s aside,", sizeInWords(d.MaxBytes))
}

// retention returns where a stream keeps more or less than is configured. Only
// its owner changes that, because what a change deletes is gone.
func (d *definition) retention(have jetstream.StreamConfig) (differences []string) {
	if d.role == Parked {
		return nil
	}
	if have.MaxAge != d.MaxAge {
		differences = append(differences, fmt.Sprintf("stream %s keeps messages %s, and %s says %s: set that, or run: nats stream edit %s --max-age=%s",
			d.Name, inWords(have.MaxAge), d.ageSetting, inWords(d.MaxAge), d.Name, hours(d.MaxAge)))
	}
	if max(have.MaxBytes, 0) != max(d.MaxBytes, 0) {
		differences = append(differences, fmt.Sprintf("stream %s may hold %s, and %s says %s: set that, or run: nats stream edit %s --max-bytes=%d",
			d.Name, sizeInWords(have.MaxBytes), d.sizeSetting, sizeInWords(d.MaxBytes), d.Name, d.MaxBytes))
	}
	return differences
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
