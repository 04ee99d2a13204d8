package event

// slot is a place where the parser keeps a member of the event, for rules that
// look at several of them.
type slot uint8

const (
	nowhere slot = iota // for members that nothing else looks at
	slotName
	slotID
	slotTime
	slotTestCode
	slotSource
	slotChannel
	slotURL
	slotUser
	slotCustom
	slotApp
	slotExtinfo
	slotTracking
	slotOptions
	slotOptionsCountry
	slotOptionsState
	slotIP
	slotUserAgent
	slotFBC
	slotFBP
	slotCountry
	slotPage
	slotPageUser
	slotWhatsApp
	slotClick
	slotInstagram
	slotInstagramBusiness
	slotInstagramUser
	slotValue
	slotCurrency
	slots // how many there are
)

// kept is where a member stands in the message.
type kept struct {
	name, nameEnd int64 // where its name begins and ends
	value, end    int64 // where its value begins and ends
	instead       int   // which of parser.mended is its value now; 0 if none
	null          bool  // it is there, and as good as absent
	there         bool  // it is there, and not null
	sound         bool  // it is what it should be
}
