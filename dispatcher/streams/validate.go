package streams

import (
	"regexp"
	"strings"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/internal/faults"
)

// Validate reports every setting that cannot work, joined.
func (c Config) Validate() error {
	var found faults.List
	for key, name := range map[string]string{
		"stream": c.Stream, "consumer": c.Consumer, "parked_stream": c.ParkedStream, "dead_letter_stream": c.DeadLetterStream,
	} {
		found.Check(validName.MatchString(name), key, "%q is not a name for JetStream: letters, digits, - and _", name)
	}
	c.checkSubjects(&found)
	found.Check(c.Replicas >= 1 && c.Replicas <= 5, "replicas", "%d is not between 1 and 5", c.Replicas)
	c.checkRetention(&found)
	found.Check(c.AckWait >= time.Second && c.AckWait <= time.Hour, "ack_wait", "%s is not between 1s and 1h", c.AckWait)
	found.Check(c.MaxAckPending >= 1 && c.MaxAckPending <= 100_000, "max_ack_pending",
		"%d is not between 1 and 100000", c.MaxAckPending)
	return found.Join()
}

// checkSubjects looks at where messages go: no stream may take another's.
func (c Config) checkSubjects(found *faults.List) {
	subjects := map[string]string{
		"subject": c.Subject, "parked_subject": c.ParkedSubject, "dead_letter_subject": c.DeadLetterSubject,
	}
	for key, subject := range subjects {
		found.Check(IsSubject(subject), key, "%q is not a subject of words joined by dots, without wildcards", subject)
		for other, prefix := range subjects {
			found.Check(key == other || !strings.HasPrefix(subject+".", prefix+"."), key, "%q lies within %s %q", subject,
				other, prefix)
		}
	}
}

// leastBytes is room for a few large messages.
const leastBytes = 10_000_000

// checkRetention looks at how much is kept, and for how long.
func (c Config) checkRetention(found *faults.List) {
	found.Check(c.MaxAge == 0 || c.MaxAge >= event.MaxAge, "max_age",
		"%s is less than the %s for which Meta takes events: those that wait would vanish", c.MaxAge, event.MaxAge)
	found.Check(c.DeadLetterMaxAge == 0 || c.DeadLetterMaxAge >= LettersDuplicates, "dead_letter_max_age",
		"%s is less than %s, for which copies of dead letters are known", c.DeadLetterMaxAge, LettersDuplicates)
	for key, size := range map[string]int{"max_bytes": c.MaxBytes, "dead_letter_max_bytes": c.DeadLetterMaxBytes} {
		found.Check(size == 0 || size >= leastBytes, key, "%d is less than 10MB, too little for a few large messages; 0 is no limit", size)
	}
}

var (
	validName    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,200}$`)
	validSubject = regexp.MustCompile(`^[^\s.*>]+(\.[^\s.*>]+)*$`)
)

// IsName reports whether that may be the name of a stream or a consumer.
func IsName(text string) bool { return validName.MatchString(text) }

// IsSubject reports whether that is a subject without wildcards.
func IsSubject(text string) bool { return validSubject.MatchString(text) }
