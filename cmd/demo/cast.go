package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// character is a dataset with a part to play.
type character struct {
	dataset string
	role    string
	channel string
	share   int  // of the messages, relative to the others
	real    bool // its events go to the real Graph API
}

// cast is who is on stage when the Graph API is simulated.
func cast() []character {
	return []character{
		{dataset: "1001000000000001", role: "Messenger shop", channel: "messenger", share: 5},
		{dataset: "1002000000000002", role: "WhatsApp travel agency", channel: "whatsapp", share: 5},
		{dataset: "1003000000000003", role: "Instagram boutique", channel: "instagram", share: 3},
		{dataset: throttled, role: "throttled by Meta for a while", channel: "whatsapp", share: 2},
		{dataset: tokenDies, role: "its token dies, and is replaced", channel: "messenger", share: 2},
		{dataset: refused, role: "some clicks are none of Meta's", channel: "whatsapp", share: 1},
	}
}

const (
	throttled = "1004000000000004"
	tokenDies = "1005000000000005"
	refused   = "1006000000000006"
)

// script writes messages. It remembers what it has written, to repeat some of
// it, and what is to become of it.
type script struct {
	random *rand.Rand
	now    func() time.Time
	number int
	recent []message

	mu    sync.Mutex
	tally map[string]*expected
}

// message is one message to publish.
type message struct {
	dataset string
	body    string
	good    int // events that Meta will take
	bad     int // events that it will not
}

// expected is what is to become of a dataset's events.
type expected struct{ Published, Accepted, Duplicates, Dead int }

func newScript() *script {
	return &script{random: rand.New(rand.NewPCG(2026, 11)), now: time.Now, tally: make(map[string]*expected)}
}

// next writes a message for a character: mostly a single event, now and then a
// whole request body, a repetition, or something that is wrong.
func (s *script) next(c character) message {
	switch dice := s.random.IntN(100); {
	case dice < 10 && len(s.recent) > 0:
		return s.again()
	case dice < 11 && !c.real:
		return s.wrong(c)
	case dice < 16:
		return s.remember(s.events(c, 2+s.random.IntN(20)))
	default:
		return s.remember(s.events(c, 1))
	}
}

// again repeats a message: a producer that got no answer, say.
func (s *script) again() message {
	m := s.recent[s.random.IntN(len(s.recent))]
	s.expect(m.dataset, 0, m.good, 0)
	return m
}

// totals is what is to become of what was written so far.
func (s *script) totals() map[string]expected {
	s.mu.Lock()
	defer s.mu.Unlock()
	totals := make(map[string]expected)
	for dataset, e := range s.tally {
		totals[dataset] = *e
	}
	return totals
}

// expect adds to what is to become of a dataset's events.
func (s *script) expect(dataset string, accepted, duplicates, dead int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.tally[dataset]
	if e == nil {
		e = &expected{}
		s.tally[dataset] = e
	}
	e.Published += accepted + duplicates + dead
	e.Accepted += accepted
	e.Duplicates += duplicates
	e.Dead += dead
}

// remember keeps a sound message, to be repeated later.
func (s *script) remember(m message) message {
	s.expect(m.dataset, m.good, 0, m.bad)
	switch {
	case m.bad > 0:
	case len(s.recent) < 500:
		s.recent = append(s.recent, m)
	default:
		s.recent[s.random.IntN(len(s.recent))] = m
	}
	return m
}

// events is a message with a number of events: one as it is, or several as a
// request body.
func (s *script) events(c character, n int) message {
	m := message{dataset: c.dataset}
	list := make([]string, n)
	for i := range list {
		click := ""
		if c.dataset == refused && s.random.IntN(40) == 0 {
			click = "invalid-"
			m.bad++
		} else {
			m.good++
		}
		list[i] = s.event(c, click)
	}
	m.body = list[0]
	if n > 1 {
		m.body = `{"data":[` + strings.Join(list, ",") + `],"partner_agent":"demo"}`
	}
	return m
}

// wrong is a message that ends in the dead letters.
func (s *script) wrong(c character) message {
	s.expect(c.dataset, 0, 0, 1)
	m := message{dataset: c.dataset, bad: 1}
	switch s.random.IntN(4) {
	case 0:
		m.body = `{"event_name":"Purchase","event_time":`
	case 1:
		m.body = fmt.Sprintf(`{"event_name":"Purchase","event_id":"order-%d","event_time":%d,"action_source":"business_messaging",`+
			`"messaging_channel":%q,"user_data":{}}`, s.count(), s.now().Unix(), c.channel)
	case 2:
		m.body = s.eventAt(c, "", s.now().Add(-9*24*time.Hour))
	default:
		m.body = s.event(character{dataset: c.dataset, channel: "whatsapp"}, "invalid-")
	}
	return m
}

// event is one sound event, but for its click, if the channel has one.
func (s *script) event(c character, click string) string { return s.eventAt(c, click, s.now()) }

func (s *script) eventAt(c character, click string, at time.Time) string {
	names := [...]string{"Purchase", "LeadSubmitted", "AddToCart", "InitiateCheckout", "OrderShipped", "ViewContent"}
	number := s.count()
	if c.real {
		// Meta checks the ids of chats; a hashed e-mail address needs no chat.
		return fmt.Sprintf(`{"event_name":%q,"event_id":"demo-%d-%d","event_time":%d,"action_source":"system_generated",`+
			`"user_data":{"em":["973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b"]},"custom_data":{"currency":"EUR","value":%d.50}}`,
			names[0], s.now().UnixNano(), number, at.Unix(), 1+number%90)
	}
	user := map[string]string{
		"messenger": fmt.Sprintf(`"page_id":104857600001,"page_scoped_user_id":"%d"`, 7_000_000_000_000_000+number),
		"whatsapp": fmt.Sprintf(`"whatsapp_business_account_id":"102290129340398","ctwa_clid":"%sARAkLkA8rmlFeiCktEJQ%d"`,
			click, number),
		"instagram": fmt.Sprintf(`"ig_account_id":"17841400000000001","ig_sid":"%d"`, 9_000_000_000_000_000+number),
	}[c.channel]
	return fmt.Sprintf(`{"event_name":%q,"event_id":"order-%d","event_time":%d,"action_source":"business_messaging",`+
		`"messaging_channel":%q,"user_data":{%s},"custom_data":{"currency":"EUR","value":%d.50}}`,
		names[number%len(names)], number, at.Unix(), c.channel, user, 1+number%90)
}

func (s *script) count() int {
	s.number++
	return s.number
}
