package event

// Body renders a request body of events, with the members of an envelope, as
// [Envelope.Marshal] writes it, beside them.
func Body(envelope string, events ...[]byte) []byte {
	size := len(`{"data":[]}`) + len(envelope) + len(events)
	for _, e := range events {
		size += len(e)
	}
	body := append(make([]byte, 0, size), `{"data":[`...)
	for i, e := range events {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, e...)
	}
	body = append(body, ']')
	if envelope != "" {
		body = append(append(body, ','), envelope[1:len(envelope)-1]...)
	}
	return append(body, '}')
}
