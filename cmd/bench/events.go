package main

import (
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
	began    time.Time
}

// copyEvery makes 5 % of the events copies.
const copyEvery = 20

func (l load) copies() int { return l.events / copyEvery }

func (l load) distinct() int { return l.events - l.copies() }

// message is the i-th message: where it is published, and its event.
func (l load) message(i int) (subject string, body []byte) {
	number := l.number(i)
	return subjectOf(number, l.datasets), event(number, l.began)
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

// event is a sound event of some 700 bytes, of each of the three channels in turn.
// Its id tells the receiver when it was published, and its number.
func event(number int, published time.Time) []byte {
	all := channels()
	channel := all[number%len(all)]
	return fmt.Appendf(nil, `{"event_name":"Purchase","event_id":"%d-%d","event_time":%d,`+
		`"action_source":"business_messaging","messaging_channel":%q,"user_data":{%s,`+
		`"em":["f660ab912ec121d1b1e928a0bb4bc61b15f5ad44d5efdc4e1c92a25e99b8e44a"],`+
		`"ph":["254aa248acb47dd654ca3ea53f48c2c26d641d23d7e2e93a1ec56258df7674c4"]},`+
		`"custom_data":{"currency":"EUR","value":%d.90,"order_id":"order-%d","content_type":"product",`+
		`"content_category":"clothing",`+
		`"contents":[{"id":"sku-10%02d","quantity":1,"item_price":24.95},`+
		`{"id":"sku-20%02d","quantity":2,"item_price":17.50},{"id":"sku-30%02d","quantity":1,"item_price":4.90}]}}`,
		published.UnixNano(), number, published.Unix(), channel.name, channel.user,
		20+number%400, number, number%100, number%77, number%50)
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
