package deadletter

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// formatPlaces writes ascending numbers as 0,3-7,9.
func formatPlaces(places []int) string {
	var text strings.Builder
	for i := 0; i < len(places); i++ {
		first := i
		for i+1 < len(places) && places[i+1] == places[i]+1 {
			i++
		}
		if text.Len() > 0 {
			text.WriteByte(',')
		}
		text.WriteString(strconv.Itoa(places[first]))
		if i > first {
			fmt.Fprintf(&text, "-%d", places[i])
		}
	}
	return text.String()
}

// formatContentIDs writes ids as a,,c: the second of three events has none.
func formatContentIDs(ids []string) string { return strings.Join(ids, ",") }

// ParseContentIDs reads the header Capi-Content-Ids: an id, or none, for each
// event of a letter or its replay. "" is no list.
func ParseContentIDs(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// ParsePlaces reads the header Capi-Places: the places, in the message that was
// published, of the events that a letter, or its replay, holds. "" is none.
func ParsePlaces(text string) (places []int, err error) {
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		last := first
		if err == nil && isRange {
			last, err = strconv.Atoi(to)
		}
		if err != nil || first < 0 || last < first || last >= event.MaxEvents {
			return nil, fmt.Errorf("%q is not a list of places like 0,3-7, of %d events at most", text, event.MaxEvents)
		}
		for place := first; place <= last; place++ {
			places = append(places, place)
		}
		if len(places) > event.MaxEvents {
			return nil, fmt.Errorf("there are more than %d places", event.MaxEvents)
		}
	}
	return places, nil
}
