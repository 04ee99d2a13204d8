package event_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// recently is the time that the tries of repairs stand for.
const recently = 1795499232

// misspelled is a sound event, some members of which are written in a way that is
// repaired, and where they are.
func misspelled(random *rand.Rand) (text string, places []string) {
	made := pick(random, append(sources(), purchase(), whatsAppChat(), instagramChat(), limited(), messengerChat()))
	tries := repairTries()
	pointers := event.Repairs()
	random.Shuffle(len(pointers), func(i, j int) { pointers[i], pointers[j] = pointers[j], pointers[i] })
	values := make(map[string]string)
	for _, pointer := range pointers[:1+random.IntN(4)] {
		options := make([]string, 0, len(tries[pointer]))
		for value := range tries[pointer] {
			options = append(options, value)
		}
		if len(options) == 0 || pointer == "/app_data/extinfo/*" && made["action_source"] != "app" {
			continue
		}
		slices.Sort(options)
		values[`"@`+pointer+`"`] = pick(random, options)
		made, places = spelled(made, pointer), append(places, pointer)
	}
	text = strings.ReplaceAll(made.String(), strconv.FormatInt(at, 10), strconv.FormatInt(recently, 10))
	for mark, value := range values {
		text = strings.ReplaceAll(text, mark, value)
	}
	return text, places
}

// spelled puts a mark in the place of a member.
func spelled(made object, pointer string) object {
	mark := "@" + pointer
	switch pointer {
	case "/custom_data/contents/*/quantity":
		return made.with("custom_data.contents", list(object{"id": "a", "quantity": mark}))
	case "/app_data/extinfo/*":
		return made.with("app_data.extinfo", slotOf(4, mark))
	default:
		return made.with(strings.ReplaceAll(pointer[1:], "/", "."), mark)
	}
}

// What is repaired the simulated API takes as it is sent, and mostly not as it was
// published; the repairs are what they are said to be, made in another way.
func TestTheSimulatedAPIAgreesOnRepairs(t *testing.T) {
	t.Parallel()
	const events = 1000
	api := graphtest.New(graphtest.Config{AnyDataset: true, Now: func() time.Time { return time.Unix(recently+60, 0) }})
	random, d := rand.New(rand.NewPCG(3, 11)), event.NewDecoder(event.DefaultRules())
	var repaired, needed int
	for range events {
		text, places := misspelled(random)
		got, err := d.Decode([]byte(text))
		require.NoError(t, err)
		e := &got.Events[0]
		require.ElementsMatch(t, places, e.Repaired, text)
		requireSame(t, []byte(text), e)
		requireAgreement(t, object{"published": text}, e.Faults, post(t, api, e.Raw))
		if len(places) > 0 && len(e.Faults) == 0 {
			repaired++
			if post(t, api, []byte(text)) != nil {
				needed++
			}
		}
	}
	t.Logf("%d of %d events are sound by repairs, %d of them not without", repaired, events, needed)
	require.Greater(t, repaired, events/2)
	require.Greater(t, needed, repaired/2)
}

// What is only warned of it takes.
func TestTheSimulatedAPITakesWhatIsWarnedOf(t *testing.T) {
	t.Parallel()
	api := graphtest.New(graphtest.Config{AnyDataset: true, Now: func() time.Time { return time.Unix(at+2*3600, 0) }})
	for code, tries := range warningTries() {
		for _, made := range append(tries.warned, other()) { // which is two hours late
			e := decodeOne(t, event.DefaultRules(), made.String())
			require.NotNil(t, e.CheckPromptness(time.Unix(at+2*3600, 0)))
			require.Nil(t, post(t, api, e.Raw), "%s: %s", code, made)
		}
	}
}
