package parked_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
)

const (
	page  = 50 * time.Millisecond // from one page to the next
	final = 5 * time.Second       // to the final look, and to another try
)

// inFakeTime runs a test with a shelf whose waker runs.
func inFakeTime(t *testing.T, test func(s *shelf)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t)
		s.run()
		test(s)
	})
}

// pass lets time pass, and everybody do what is to be done until then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func whole(dataset string) parked.Group { return parked.Group{Dataset: dataset} }

func TestAGroupIsWokenAPageAtATime(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.putMany(2*parked.Page+500, "1", parked.Paused)
		s.putMany(10, "2", parked.Paused)
		s.putMany(10, "1", parked.NotYet)
		s.waker.Wake(whole("1"))
		for _, want := range []int{1000, 2000, 2500, 2500} {
			pass(time.Millisecond)
			require.Equal(s.t, want, s.count("1"))
			pass(page - time.Millisecond)
		}
		pass(time.Hour)
		require.Equal(s.t, 2500, s.count("1"))
		require.Zero(s.t, s.count("2"))
		require.Len(s.t, s.waiting, 20)
		require.Less(s.t, s.reads.Load(), int32(10), "then it is over")
	})
}

// However many there are that are not meant, the others come, and nothing is read
// twice.
func TestWhatIsNotMeantIsPassedOver(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.putMany(3*parked.Page, "1", parked.Unlinked)
		first := s.put("1", parked.Congested, time.Hour)
		s.putMany(10, "1", parked.NoAnswer)
		second := s.put("1", parked.Refused, time.Hour)
		s.putMany(10, "1", parked.Unlinked)
		s.waker.Wake(whole("1"))
		pass(time.Millisecond)
		s.requireWoken(first, second)
		require.EqualValues(s.t, 4, s.reads.Load())
		pass(time.Minute)
		require.EqualValues(s.t, 9, s.reads.Load(), "and once more for those that came meanwhile")
		require.Equal(s.t, 2, s.count("1"))
	})
}

func TestADatasetWithNothingMeantIsReadOnce(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.putMany(3, "1", parked.Unlinked)
		s.waker.Wake(whole("1"))
		pass(time.Millisecond)
		require.EqualValues(s.t, 1, s.reads.Load())
		pass(time.Minute)
		require.EqualValues(s.t, 2, s.reads.Load(), "and once more for those that came meanwhile")
		s.requireWoken()
		require.Zero(s.t, s.logged.Len())
	})
}

// A worker that begins asks for every dataset at its first success, and usually
// nothing waits.
func TestThousandsOfGroupsCostOneLook(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		for i := range 10_000 {
			s.waker.Wake(whole(strconv.Itoa(i)))
		}
		pass(time.Minute)
		require.Zero(s.t, s.reads.Load())
		require.LessOrEqual(s.t, s.looks.Load(), int32(4), "at once, and after a while")
		s.putMany(1, "7", parked.Paused)
		s.waker.Wake(whole("7"))
		pass(time.Millisecond)
		require.Equal(s.t, 1, s.count("7"), "what was seen before is not believed")
	})
}

// Each group has its turn, whatever there is of the others.
func TestTurnsAreTaken(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.putMany(5*parked.Page, "0", parked.Paused)
		for i := range 100 {
			s.putMany(1, strconv.Itoa(i), parked.Paused)
		}
		for i := range 100 {
			s.waker.Wake(whole(strconv.Itoa(i)))
		}
		pass(time.Millisecond)
		for i := 1; i < 100; i++ {
			require.Equal(s.t, 1, s.count(strconv.Itoa(i)))
		}
		require.Equal(s.t, parked.Page, s.count("0"))
		s.waker.Wake(whole("0"))
		pass(time.Minute)
		require.Equal(s.t, 5*parked.Page+1, s.count("0"), "asking again does no harm")
	})
}

func TestUnlinkedAccountsAreAGroupOfTheirOwn(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.put("1", parked.Paused, time.Hour)
		unlinked := s.put("1", parked.Unlinked, time.Hour)
		s.waker.Wake(parked.Group{Dataset: "1", Unlinked: true})
		pass(time.Minute)
		s.requireWoken(unlinked)
	})
}

// What the server is about to bring back is left to it; what it should have
// brought back a while ago is not.
func TestWhatComesBackByItselfIsLeftAlone(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		overdue := s.put("1", parked.Paused, -2*time.Minute)
		s.put("1", parked.Paused, -50*time.Second)
		s.put("1", parked.Paused, -time.Second)
		s.put("1", parked.Paused, 0)
		soon := s.put("1", parked.Paused, 2*time.Second)
		s.waker.Wake(whole("1"))
		pass(time.Millisecond)
		s.requireWoken(overdue, soon)
	})
}

// What is parked while a group is woken has a reason for it; but for what was on
// its way, there is a final look.
func TestLatecomersAreWokenInTheEnd(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		const first = parked.Page + 1
		s.putMany(first, "1", parked.Paused)
		s.waker.Wake(whole("1"))
		pass(time.Millisecond)
		require.Equal(s.t, parked.Page, s.count("1"))
		s.putMany(3, "1", parked.Paused)
		pass(page)
		require.Equal(s.t, first, s.count("1"), "of the first ones")
		pass(final - 2*time.Millisecond)
		require.Equal(s.t, first, s.count("1"))
		pass(page)
		require.Equal(s.t, first+3, s.count("1"))
		s.putMany(3, "1", parked.Paused)
		pass(time.Minute)
		require.Equal(s.t, first+3, s.count("1"), "it was the final one")
		s.waker.Wake(whole("1"))
		pass(time.Millisecond)
		require.Equal(s.t, first+6, s.count("1"))
	})
}

// A request is done with when it is: another one is for its own group only.
func TestRequestsAreForOneGroup(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.waker.Wake(whole("1"))
		pass(time.Minute)
		s.putMany(1, "1", parked.Paused)
		s.putMany(1, "2", parked.Paused)
		s.waker.Wake(whole("2"))
		pass(time.Minute)
		s.requireWoken(2)
	})
}

func TestNothingComesThatThereIsNoRoomFor(t *testing.T) {
	for name, without := range map[string]func(s *shelf) *atomic.Bool{
		"for anybody":     func(s *shelf) *atomic.Bool { return &s.crowded },
		"for the dataset": func(s *shelf) *atomic.Bool { return &s.full },
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(s *shelf) {
				s.putMany(2*parked.Page, "1", parked.Congested)
				without(s).Store(true)
				s.waker.Wake(whole("1"))
				pass(time.Minute)
				require.Zero(s.t, s.reads.Load())
				without(s).Store(false)
				pass(page)
				require.Equal(s.t, parked.Page, s.count("1"))
				without(s).Store(true)
				pass(time.Minute)
				require.Equal(s.t, parked.Page, s.count("1"))
				without(s).Store(false)
				pass(2 * page)
				require.Equal(s.t, 2*parked.Page, s.count("1"))
			})
		})
	}
}

// Where there is no room for anybody, ten thousand are not asked about one by one.
func TestThereIsOneWaitForRoom(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.putMany(1, "7", parked.Congested)
		s.crowded.Store(true)
		for i := range 10_000 {
			s.waker.Wake(whole(strconv.Itoa(i)))
		}
		pass(time.Minute)
		require.Zero(s.t, s.offers.Load())
		s.crowded.Store(false)
		pass(page)
		require.Equal(s.t, 1, s.count("7"))
	})
}

func TestNothingComesToADatasetInTrouble(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.putMany(2*parked.Page, "1", parked.Paused)
		s.waker.Wake(whole("1"))
		pass(time.Millisecond)
		s.blocked.Store(true)
		pass(time.Hour)
		require.Equal(s.t, parked.Page, s.count("1"))
		require.EqualValues(s.t, 1, s.reads.Load())
		require.EqualValues(s.t, 3, s.asks.Load(), "a page, the next, and a final look")
		s.blocked.Store(false)
		pass(time.Hour)
		require.Equal(s.t, parked.Page, s.count("1"), "whoever gets through asks again")
	})
}

// What has come back meanwhile, or somebody else has woken, is none of ours.
func TestWhatIsGoneIsNotCounted(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.putMany(5, "1", parked.Paused)
		s.wakeElsewhere(2)
		s.wakeElsewhere(3)
		s.waker.Wake(whole("1"))
		pass(time.Millisecond)
		s.requireWoken(1, 4, 5)
		require.Equal(s.t, 3, s.count("1"))
	})
}

var errAway = errors.New("NATS is away")

func TestAPageIsTriedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		failing []error
		gaveUp  bool
		after   time.Duration
	}{
		"once":            {[]error{errAway}, false, final},
		"four times":      {[]error{errAway, errAway, errAway, errAway}, false, 4 * final},
		"five times":      {[]error{errAway, errAway, errAway, errAway, errAway}, true, 4 * final},
		"not in a row":    {[]error{errAway, errAway, errAway, nil, errAway, errAway, errAway, errAway}, false, 7*final + page},
		"it never can be": {[]error{parked.ErrNoDirectGet}, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(s *shelf) {
				s.putMany(2*parked.Page-1, "1", parked.Paused)
				s.fail(tc.failing...)
				s.waker.Wake(whole("1"))
				if tc.after > 0 {
					pass(tc.after - time.Millisecond)
					require.NotEqual(s.t, 2*parked.Page-1, s.count("1"))
					require.Zero(s.t, s.logged.Len())
				}
				pass(time.Second)
				logged := s.logged.FilterMessage("parked events could not be called back; they come back at their own time").AllUntimed()
				if !tc.gaveUp {
					require.Empty(s.t, logged)
					require.Equal(s.t, 2*parked.Page-1, s.count("1"))
					return
				}
				require.Len(s.t, logged, 1)
				require.Equal(s.t, "1", logged[0].ContextMap()["dataset"])
				reads := s.reads.Load()
				pass(time.Hour)
				require.Equal(s.t, reads, s.reads.Load())
				s.requireWoken()
			})
		})
	}
}

// A wake that is refused is tried again with the same page.
func TestAWakeThatIsRefusedIsTriedAgain(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.putMany(3, "1", parked.Paused)
		s.refuse(errAway)
		s.waker.Wake(whole("1"))
		pass(time.Second)
		s.refuse(nil)
		pass(final)
		require.Equal(s.t, 3, s.count("1"))
	})
}

// A request while events are woken begins anew, with what is there then.
func TestARequestBeginsAnew(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.putMany(parked.Page, "1", parked.Paused)
		s.waker.Wake(whole("1"))
		pass(time.Millisecond)
		s.putMany(1, "1", parked.Paused)
		s.waker.Wake(whole("1"))
		s.waker.Wake(whole("1"))
		pass(time.Millisecond)
		require.Equal(s.t, parked.Page+1, s.count("1"))
	})
}

func TestWhenAGroupWasAskedFor(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		asked, other := whole("1"), parked.Group{Dataset: "1", Unlinked: true}
		require.False(s.t, s.waker.EverAsked(asked))
		require.False(s.t, s.waker.AskedLately(asked))
		s.waker.Wake(asked)
		pass(10 * time.Second)
		require.True(s.t, s.waker.AskedLately(asked))
		pass(1)
		require.False(s.t, s.waker.AskedLately(asked))
		require.True(s.t, s.waker.EverAsked(asked))
		require.False(s.t, s.waker.EverAsked(other))
		for i := range 10_000 {
			s.waker.Wake(whole(fmt.Sprint("made up ", i)))
		}
		require.False(s.t, s.waker.EverAsked(asked), "it is forgotten, and not all of them are remembered")
		require.True(s.t, s.waker.EverAsked(whole("made up 9999")))
	})
}

// Trials wake while pages are read; a page is all that is in memory.
func TestTrialsWaitForPages(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.slow = time.Second
		s.putMany(2*parked.Page, "1", parked.Paused)
		first := s.put("2", parked.Paused, time.Hour)
		sweeper := parked.NewSweeper(s.waker, subjects, func(context.Context) (func(), bool) { return func() {}, true }, time.Hour)
		s.waker.Wake(whole("1"))
		pass(500 * time.Millisecond)
		require.NoError(s.t, s.waker.TryOne(s.t.Context(), whole("2")))
		require.NoError(s.t, s.waker.TryFew(s.t.Context(), whole("2"), 8))
		sweeper.Sweep(s.t.Context())
		pass(time.Minute)
		require.Equal(s.t, 2*parked.Page, s.count("1"))
		require.Equal(s.t, 1, s.count("2"))
		require.Contains(s.t, s.woken, subjects.Wait("2", strconv.FormatUint(first, 10)))
	})
}
