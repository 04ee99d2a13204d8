package protocol_test

// leave takes a message out of a worker's hand. If its event has been sent,
// those that follow are acknowledged; else the next one leads.
func (w *world) leave(by, m int, sent bool) {
	behind := w.hands[by][m].behind
	w.hands[by][m], w.leads[by] = hand{}, 0
	w.orphan(by, m)
	if behind {
		w.hands[by][m] = hand{at: following, live: true, redelivered: w.messages[m].again, maybe: w.messages[m].maybe}
	}
	for f := range slots {
		if w.hands[by][f].at != following {
			continue
		}
		if !sent {
			w.lead(by, f)
			return
		}
		w.hands[by][f] = hand{}
		w.messages[f].at = gone
	}
}

// orphan leaves what a worker has claimed for a message to the message's other
// deliveries.
func (w *world) orphan(by, m int) {
	w.key.orphan(owner(m+1), holder(by+1))
	w.replica.orphan(owner(m+1), holder(by+1))
}

// deliver puts a message into a worker's hand.
func (w *world) deliver(by, m int) {
	msg, h := &w.messages[m], &w.hands[by][m]
	if h.at != idle {
		h.behind = true
	} else {
		*h = hand{at: following, live: true, redelivered: msg.again, maybe: msg.maybe}
		if w.leads[by] == 0 {
			w.lead(by, m)
		}
	}
	msg.at, msg.again = out, msg.replaces != nobody
}

// lead begins with a message.
func (w *world) lead(by, m int) {
	w.leads[by], w.hands[by][m].at = uint8(m+1), claiming
}

// kill ends a worker, which is at once there again, empty-handed.
func (w *world) kill(by int, accepts bool) {
	for m := range slots {
		h := &w.hands[by][m]
		if h.at == posting && accepts {
			w.accepted++
			w.hidden++
		}
		if (h.at == posted || h.at == confirming) && w.key.owner != sentMark {
			w.hidden++
		}
		if (h.live || h.behind) && w.messages[m].at == out {
			w.messages[m].at = ready
		}
		*h = hand{}
		w.orphan(by, m)
	}
	if w.later[by] {
		w.hidden++
	}
	w.leads[by], w.later[by] = 0, false
}
