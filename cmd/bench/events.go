package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// load is a number of messages, with one event each, some of them copies of
// earlier ones. An event is made of its number and the load's time alone, so that
// none has to be kept.
type load struct {
	events   int // with the copies
	datasets int
	size     int     // of an event, in bytes, about
	poison   float64 // the part of the events that the receiver refuses, of 1
	began    time.Time
}

// copyEvery makes 5 % of the events copies.
const copyEvery = 20

// usualSize is what a purchase of a few things comes to.
const usualSize = 700

func (l load) copies() int { return l.events / copyEvery }

// distinct is how many events the receiver has in the end.
func (l load) distinct() (sound int) {
	for i := range l.events {
		if l.number(i) == i && !l.isPoison(i) {
			sound++
		}
	}
	return sound
}

// isPoison reports whether an event is one that the receiver refuses.
func (l load) isPoison(number int) bool {
	const parts = 100_000
	return scatter(-1-number)%parts < uint64(l.poison*parts)
}

// message is the i-th message: where it is published, and its event.
func (l load) message(i int) (subject string, body []byte) {
	number := l.number(i)
	body = event(number, l.began, l.size)
	if l.isPoison(number) {
		body = bytes.Replace(body, []byte(`"clothing"`), []byte(poisonous), 1)
	}
	return subjectOf(number, l.datasets), body
}

// number is that of the event in the i-th message: its own, or an earlier one's.
func (l load) number(i int) int {
	if i%copyEvery != copyEvery-1 {
		return i
	}
	earlier := int(scatter(i) % uint64(i))
	if earlier%copyEvery == copyEvery-1 {
		earlier-- // not a copy of a copy
	}
	return earlier
}

// scatter is a number that looks like chance and is the same each time.
func scatter(i int) uint64 { return rand.NewPCG(uint64(i), 0).Uint64() }

// poisonous is the content_category of what the receiver refuses: nothing that the
// worker would find fault with itself.
const poisonous = `"poison"`

// event is a sound event of some size, of each of the three channels in turn. Its id
// tells the receiver when it was published, and its number.
func event(number int, published time.Time, size int) []byte {
	all := channels()
	channel := all[number%len(all)]
	text := fmt.Appendf(make([]byte, 0, size+100), `{"event_name":"Purchase","event_id":"%d-%d","event_time":%d,`+
		`"action_source":"business_messaging","messaging_channel":%q,"user_data":{%s`,
		published.UnixNano(), number, published.Unix(), channel.name, channel.user)
	if size < usualSize {
		return fmt.Appendf(text, `},"custom_data":{"currency":"EUR","value":%d.90}}`, 20+number%400)
	}
	text = fmt.Appendf(text, `,"em":["f660ab912ec121d1b1e928a0bb4bc61b15f5ad44d5efdc4e1c92a25e99b8e44a"],`+
		`"ph":["254aa248acb47dd654ca3ea53f48c2c26d641d23d7e2e93a1ec56258df7674c4"]},`+
		`"custom_data":{"currency":"EUR","value":%d.90,"order_id":"order-%d","content_type":"product",`+
		`"content_category":"clothing","contents":[`, 20+number%400, number)
	for i := 0; i < 3 || len(text) < size; i++ {
		text = fmt.Appendf(text, `{"id":"sku-%d%02d","quantity":%d,"item_price":24.95},`, 10+i, number%100, 1+i%3)
	}
	return append(text[:len(text)-1], `]}}`...)
}

// channel is one of the three, with what tells it who the customer is.
type channel struct{ name, user string }

func channels() [3]channel {
	return [3]channel{
		{"messenger", `"page_id":"106158471234567","page_scoped_user_id":"7012345678901234"`},
		{"whatsapp", `"whatsapp_business_account_id":"102290129340398","ctwa_clid":` +
			`"ARAkLkA8rmlFeiCktEJQ-QTwRiyYHAFDLMNDBH0CD3qpjd0HR4irJ6LEkR7JwLF4XvnO2E4Nx0-eM-GA"`},
		{"instagram", `"ig_account_id":"17841400455970000","ig_sid":"1784140045597098"`},
	}
}

// subjectOf is where an event is published: the datasets get about as many each, in
// no order.
func subjectOf(number, datasets int) string {
	const first = 1_000_000_000_000_000
	return "capi.events." + strconv.Itoa(first+int(scatter(number)%uint64(datasets)))
}
