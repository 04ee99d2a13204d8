package dispatcher_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// alteration is an event without event_id that the dispatcher sends otherwise than
// it was published, with the settings that make it do so.
type alteration struct {
	event  string
	change func(*options)
}

func alterations() map[string]alteration {
	asItIs := func(*options) {}
	hash := func(o *options) { o.cfg.Rules.HashPersonalData = true }
	return map[string]alteration{
		"nothing":           {nameless("c"), asItIs},
		"a repair":          {withUser(nameless("c"), `"page_scoped_user_id":" 7 "`), asItIs},
		"a member removed":  {withUser(nameless("c"), `"fbp":"fb.1.1.1"`), asItIs},
		"a test code":       {strings.Replace(nameless("c"), "{", `{"test_event_code":"T",`, 1), asItIs},
		"a secret":          {withUser(nameless("c"), `"access_token":"hush"`), asItIs},
		"an account":        {withoutAccount(), fillOne},
		"personal data":     {withUser(nameless("c"), `"em":"Jane@Example.com"`), hash},
		"the action source": {sourceless(), func(o *options) { o.cfg.Rules.DefaultActionSource = "other" }},
		"several": {
			withUser(withoutAccount(), `"fbp":"fb.1.1.1","em":"Jane@Example.com","access_token":"hush","page_scoped_user_id":" 7 "`),
			func(o *options) { fillOne(o); hash(o) },
		},
	}
}

func sourceless() string {
	return strings.Replace(withUser(nameless("c"), `"external_id":"7"`), `"action_source":"business_messaging",`, "", 1)
}

// An event without event_id is its content as it was published, whatever is sent
// of it, and whatever becomes of it on the way: refused by Meta and replayed, it is
// accepted once, and copies that are published afterwards are known.
func TestAReplayIsKnownByWhatWasPublished(t *testing.T) {
	t.Parallel()
	for name, tc := range alterations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, tc.change)
			refuseOnce(b)
			b.publish(dataset, tc.event)
			b.awaitLetters(1)
			b.awaitQuiet()
			b.replay(1)
			b.awaitAccepted(1)
			b.requireKnown(tc.event, respelled(tc.event))
		})
	}
}

// requireKnown publishes copies of the one event that was accepted.
func (b *harness) requireKnown(copies ...string) {
	b.t.Helper()
	b.publish(dataset, copies...)
	b.await("they are decided about", func() bool { return b.settledAs("accepted")+b.settledAs("duplicate") == int64(1+len(copies)) })
	b.awaitQuiet()
	require.Equal(b.t, 1, b.Ledger().Sum().Events)
	require.Zero(b.t, b.streamSize("CAPI_DLQ"))
	b.requireBalance()
}

// So it is where the settings that change it were made after it had died.
func TestAReplayUnderOtherSettingsIsKnownByWhatWasPublished(t *testing.T) {
	t.Parallel()
	for name, tc := range alterations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			refuseOnce(b)
			b.publish(dataset, tc.event)
			b.awaitLetters(1)
			b.awaitQuiet()
			b.stop(b.running)
			tc.change(&b.options)
			b.Clear(dataset)
			b.running = b.start()
			b.replay(1)
			b.awaitAccepted(1)
			b.requireKnown(tc.event, respelled(tc.event))
		})
	}
}

// respelled is the same event with other white space.
func respelled(event string) string { return " " + strings.Replace(event, `:`, ` : `, 3) }

// marked are so many events, told apart by their content.
func marked(event string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = strings.Replace(event, "{", fmt.Sprintf(`{"mark":%d,`, i), 1)
	}
	return all
}

// The events of a letter that holds several are each what was published, too: here
// they were too large for a request, and are not any more.
func TestASharedLetterIsKnownByWhatWasPublished(t *testing.T) {
	t.Parallel()
	const many = 12
	for name, tc := range alterations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, tc.change, func(o *options) { o.batch.MaxBytes = 100 })
			all := marked(tc.event, many)
			b.publish(dataset, body(all...))
			require.Len(t, b.awaitLetters(1)[0].Places, many)
			b.awaitQuiet()
			b.requireSharedLettersKnown(all)
		})
	}
}

// requireSharedLettersKnown replays letters of events that were too large, and
// publishes copies of them all.
func (b *harness) requireSharedLettersKnown(all []string) {
	b.t.Helper()
	letters := b.letters()
	b.stop(b.running)
	b.options.batch.MaxBytes = 900_000
	b.running = b.start()
	for _, letter := range letters {
		b.replay(letter.Sequence)
	}
	b.await("all are accepted", func() bool { return b.Ledger().Sum().Events == len(all) })
	b.publish(dataset, body(all...), respelled(all[0]))
	b.await("the copies are decided about", func() bool { return b.books("capi.events.received") == int64(3*len(all)+1) })
	b.awaitQuiet()
	require.Equal(b.t, len(all), b.Ledger().Sum().Events)
	b.requireBalance()
}

// A letter has no room for the names of a thousand events.
func TestManyNamesAreSpreadOverLetters(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.batch.MaxBytes = 100 })
	all := marked(withUser(nameless("c"), `"page_scoped_user_id":" 7 "`), 450)
	b.publish(dataset, body(all...))
	var sizes []int
	for _, letter := range b.awaitLetters(3) {
		sizes = append(sizes, len(letter.Places))
	}
	require.Equal(t, []int{200, 200, 50}, sizes)
	b.awaitQuiet()
	b.requireSharedLettersKnown(all)
}
