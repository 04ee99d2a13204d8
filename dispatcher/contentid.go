package dispatcher

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// An event that neither has an event_id nor comes in a message that is named is
// told from others by its content, as it was published. Where the dispatcher
// changes the content, the next worker sees another one: so the identity travels
// with the event, in Capi-Dedupe-Id.

// contentPrefix begins the name of an event that is named by what was published.
const contentPrefix = "content-"

// nameContent names an event by its content as published, where that is what
// tells it from others and what is sent is something else.
func (h *history) nameContent(e *event.Event) {
	if e.ID != "" || h.messageID != "" || e.Published == nil {
		return
	}
	sum := sha256.Sum256(e.PublishedKey())
	h.messageID, h.numbered = contentPrefix+hex.EncodeToString(sum[:]), false
}

// contentID is the part of such a name that tells it from others, or "".
func (h *history) contentID() string {
	if !h.namedByContent() {
		return ""
	}
	return strings.TrimPrefix(h.messageID, contentPrefix)
}

// contentIDs are those of events that share a letter; nil if none has one.
func contentIDs(group []*entry) []string {
	ids, some := make([]string, len(group)), false
	for i, e := range group {
		ids[i] = e.history.contentID()
		some = some || ids[i] != ""
	}
	if !some {
		return nil
	}
	return ids
}

// namedByContent reports whether the name is the event's own, and not that of the
// message that it came in.
func (h *history) namedByContent() bool {
	return !h.numbered && strings.HasPrefix(h.messageID, contentPrefix)
}
