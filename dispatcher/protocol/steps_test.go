package protocol_test

import "slices"

// hand is what a worker does next with one message.
func (s *step) hand(w, m int) {
	h := s.from.hands[w][m]
	if h.at == idle {
		return
	}
	s.lease(w, m)
	switch h.at {
	case claiming:
		s.claim(w, m)
	case claimed:
		s.send(w, m)
	case posting, posted:
		s.answer(w, m)
	case confirming:
		s.confirm(w, m)
	case settling:
		s.settle(w, m, "acknowledges", true)
	case burying, parking:
		s.publish(w, m)
	case buried, moved, returning:
		s.release(w, m)
	case leaving:
		s.settle(w, m, "acknowledges what was moved", false)
	case handing:
		s.do("naks", func(to *world) {
			if to.hands[w][m].live && to.messages[m].at == out {
				to.messages[m].at = ready
			}
			to.leave(w, m, false)
		})
	case idle, following:
	}
}

// lease is the end of a message's lease, and of its claim's if the worker was
// just sending it. That cannot come while a request is under way, unless the
// worker hangs: then what it sends is of unknown outcome.
func (s *step) lease(w, m int) {
	h := s.from.hands[w][m]
	sending := h.at == posting || h.at == posted || h.at == confirming
	if !h.live && (!sending || h.old) {
		return
	}
	end := func(to *world) {
		to.hands[w][m].live = false
		if to.messages[m].at == out {
			to.messages[m].at = ready
		}
	}
	hidden := func(to *world) {
		to.hidden++
		to.hands[w][m].old = true
		if to.key.owner == owner(m+1) && to.key.age == young {
			to.key.age = released
		}
		end(to)
	}
	switch {
	case !sending && s.from.stranger != noStranger && m < copies:
		s.do("loses its lease, which nobody renews", end)
	case !sending, s.noDeadline:
		s.wrong(lapse, "loses its lease", end)
	case h.at == confirming:
		s.wrong(lapse, "loses its lease before it can confirm", hidden)
	default:
		s.wrong(hang, "hangs in a request until its lease lapses", hidden)
	}
}

func (s *step) claim(w, m int) {
	if !s.from.hands[w][m].live {
		s.do("lets go", func(to *world) { to.leave(w, m, false) })
	}
	s.do("claims", func(to *world) { s.judge(to, w, m, s.ask(to, w, m)) })
	s.wrong(lostReply, "claims, and the reply gets lost", func(to *world) {
		s.ask(to, w, m)
		to.hands[w][m].owned, to.hands[w][m].certain = true, false
	})
	if s.from.hands[w][m].owned {
		s.wrong(giveBack, "is to stop, and does not know whose the claim is", func(to *world) { to.hands[w][m].at = returning })
	}
}

// ask asks Redis the way the variant does.
func (s *step) ask(to *world, w, m int) string {
	switch {
	case s.presence && to.key.owner != nobody:
		return "sent"
	case s.markAfter && to.key.owner != sentMark:
		return "fresh"
	case s.workerLeases:
		return to.key.ask(someWork+owner(w), 0, nobody)
	default:
		replaces := to.messages[m].replaces
		if to.hands[w][m].redelivered {
			replaces = nobody
		}
		return s.askAs(to, owner(m+1), holder(w+1), replaces)
	}
}

func (s *step) askAs(to *world, by owner, as holder, replaces owner) string {
	if s.noHolders && to.key.owner == by && to.key.holder != as {
		to.key.age = released // whatever it is
	}
	answer := to.key.ask(by, as, replaces)
	if s.unmarked {
		to.key.inherited = false
	}
	return answer
}

// judge is newClaimAnswers and what Dispatcher.claim does with them.
func (s *step) judge(to *world, w, m int, answer string) {
	h := &to.hands[w][m]
	switch {
	case answer == "fresh", answer == "inherited before" && h.certain:
		h.owned, h.certain, h.old, h.at = true, true, false, claimed
	case answer == "inherited", answer == "inherited before":
		if late := slices.Contains(to.later[:], true); late && !to.premature {
			to.hidden, to.premature = to.hidden+1, true // what was accepted is not in Redis yet
		}
		h.owned, h.certain, h.old, h.maybe = true, true, false, h.maybe+1
		h.at = s.byPolicy(h.maybe, claimed)
	case answer == "held" && s.dropHeld:
		h.at = settling
	case answer == "held":
		h.owned, h.certain, h.at = false, false, handing
	default: // sent
		h.at = settling
	}
}

// byPolicy is what on_unknown says.
func (s *step) byPolicy(maybe uint8, again stage) stage {
	if s.deadLetter || maybe >= s.maxUnknown {
		return burying
	}
	return again
}

func (s *step) send(w, m int) {
	h := s.from.hands[w][m]
	if !h.live { // it may as well go on: the claim is what counts
		s.do("lets go", func(to *world) { s.letGo(to, w, m) })
	}
	s.wrong(giveBack, "is to stop", func(to *world) { to.hands[w][m].at = returning })
	s.wrong(park, "waits for too long to go on", func(to *world) { to.hands[w][m].at = parking })
	if h.old && !s.noRenewal {
		s.do("renews its claim", func(to *world) { s.judge(to, w, m, s.ask(to, w, m)) })
		s.wrong(lostReply, "renews its claim, and the reply gets lost", func(to *world) {
			s.ask(to, w, m)
			to.hands[w][m].at, to.hands[w][m].certain = claiming, false
		})
		return
	}
	s.do("posts", func(to *world) { to.hands[w][m].at = posting })
}

// letGo is Dispatcher.drop.
func (s *step) letGo(to *world, w, m int) {
	if h := to.hands[w][m]; h.owned && h.maybe == 0 {
		s.giveUp(to, w, m)
	}
	to.leave(w, m, false)
}

// giveUp releases a claim.
func (s *step) giveUp(to *world, w, m int) {
	as := holder(w + 1)
	if s.blindRelease && to.key.owner == owner(m+1) {
		as = to.key.holder
	}
	to.key.release(owner(m+1), as, to.hands[w][m].maybe > 0 || s.blindRelease)
}

func (s *step) answer(w, m int) {
	doubt := func(next stage) func(to *world) {
		return func(to *world) {
			h := &to.hands[w][m]
			if h.at == posted {
				to.hidden++
			}
			h.maybe++
			h.at = s.byPolicy(h.maybe, next)
		}
	}
	s.wrong(ambiguous, "gets no answer", doubt(claimed))
	if s.from.spent[park] < s.kinds[park] {
		s.wrong(ambiguous, "gets no answer, for too long", func(to *world) {
			doubt(parking)(to)
			to.spent[park]++
		})
	}
	if s.from.hands[w][m].at == posted {
		s.do("reads the answer", func(to *world) { to.hands[w][m].accepted() })
		return
	}
	s.do("is accepted by Meta", func(to *world) {
		to.accepted++
		to.hands[w][m].at = posted
	})
	s.wrong(park, "is not taken by Meta now", func(to *world) { to.hands[w][m].at = parking })
	s.wrong(refuse, "is refused by Meta", func(to *world) { to.hands[w][m].at = burying })
}

// accepted forgets what does not matter any more: there are fewer states then.
func (h *hand) accepted() {
	h.at, h.owned, h.certain, h.redelivered, h.maybe = confirming, false, false, false, 0
}

func (s *step) confirm(w, m int) {
	s.do("confirms", func(to *world) {
		to.key.confirm()
		to.hands[w][m].at = settling
	})
	s.wrong(lostReply, "confirms, and the reply gets lost", func(to *world) { to.key.confirm() })
	s.wrong(redisDown, "cannot confirm for now", func(to *world) {
		to.later[w], to.premature = true, false
		to.hands[w][m].at = settling
	})
}

// publish stores a dead letter or a parked copy; either has an id that makes a
// repetition harmless.
func (s *step) publish(w, m int) {
	store := func(to *world, parked place) {
		h, msg := &to.hands[w][m], &to.messages[m]
		switch {
		case h.at == burying && msg.letter == noLetter:
			msg.letter = sureLetter
			if h.maybe > 0 {
				msg.letter = maybeLetter
			}
		case h.at == parking && !msg.copied:
			msg.copied = true
			to.messages[to.free()] = message{at: parked, maybe: h.maybe}
		}
	}
	next := map[stage]stage{burying: buried, parking: moved}[s.from.hands[w][m].at]
	if s.ackFirst && s.from.messages[m].at == out {
		s.do("acknowledges before it publishes", func(to *world) { to.messages[m].at = gone })
		return
	}
	s.do("publishes", func(to *world) {
		store(to, ready)
		to.hands[w][m].at = next
	})
	if s.from.hands[w][m].at == parking {
		s.wrong(storeFull, "publishes, and NATS' store is full when its time comes", func(to *world) {
			store(to, overdue)
			to.hands[w][m].at = next
		})
	}
	s.wrong(lostReply, "publishes, and the answer gets lost", func(to *world) {
		store(to, ready)
		to.hands[w][m].at = returning
	})
}

// release gives a claim up: not that of an event that may have been sent, when
// it goes back or to the dead letters.
func (s *step) release(w, m int) {
	h := s.from.hands[w][m]
	keeps := h.maybe > 0 && (h.at == returning || h.at == buried && !s.freeDoubtful)
	s.do("deals with its claim", func(to *world) {
		if h.owned && !keeps {
			s.giveUp(to, w, m)
		}
		to.hands[w][m].at, to.hands[w][m].owned = leaving, false
		if h.at == returning {
			to.hands[w][m].at = handing
		}
	})
}

// settle acknowledges a message, and with it those that followed it if its
// event has been sent.
func (s *step) settle(w, m int, does string, sent bool) {
	acknowledge := func(to *world) {
		to.messages[m].at = gone
		// The stream's own word comes before: it is another, so that nothing
		// is said.
		if s.byName && to.mistaken(m) && to.stranger == inFlight {
			to.stranger = forgotten
		}
		to.leave(w, m, sent)
	}
	s.do(does, acknowledge)
	h, at := s.from.hands[w][m], s.from.messages[m].at
	if h.behind {
		return
	}
	s.wrong(lostAck, "acknowledges, and that gets lost", func(to *world) {
		acknowledge(to)
		if to.messages[m].at = at; h.live && at == out {
			to.messages[m].at = ready
		}
	})
}
