package protocol_test

// stranger is a message of another event, which a stream that was created anew
// has under the number of the first message.
type stranger uint8

const (
	noStranger stranger = iota
	inFlight            // a worker has it; its event is not sent yet
	finished            // sent and acknowledged
	forgotten           // acknowledged, and not sent
)

// copies is how many messages the stream has at first. Others are in another
// stream.
const copies = 2

// recreation is that the stream is deleted, created again and published to: one
// more copy of the event, and another event under the number of the first.
func (s *step) recreation() {
	if s.from.stranger == noStranger {
		s.wrong(recreate, "the stream is recreated with the same numbers", func(w *world) {
			for m := range copies {
				w.messages[m].at = gone
			}
			w.messages[w.free()] = message{at: ready}
			w.stranger = inFlight
		})
	}
	if s.from.stranger == inFlight {
		s.do("the other event is sent and acknowledged", func(w *world) { w.stranger = finished })
	}
}

// mistaken reports whether what a worker has in flight has the number of another
// message by now.
func (w *world) mistaken(m int) bool { return w.stranger != noStranger && m == 0 }
