package rules

import "fmt"

// checkApp is for app_data. Its extinfo tells of the device, slot by slot.
func checkApp(event object) *Error {
	isApp := event["action_source"] == "app"
	if isApp && !event.has("app_data") {
		return required("app_data")
	}
	app := event.object("app_data")
	if isApp && !app.has("extinfo") {
		return required("app_data", "extinfo")
	}
	name, words, found := app.misfit(
		members{aSwitch(), "application_tracking_enabled advertiser_tracking_enabled consider_views include_dwell_data include_video_data"},
		members{aText(), "campaign_ids install_referrer installer_package receipt_data windows_attribution_id"},
		members{aListOf(aText()), "url_schemes"},
	)
	if found {
		return misshapen("app_data["+name+"]", words)
	}
	if !app.has("extinfo") {
		return nil
	}
	return checkDevice(app["extinfo"])
}

// The slots of extinfo that have rules of their own.
const (
	slots         = 16
	slotVersion   = 0
	slotShort     = 2
	slotOSVersion = 4
)

func checkDevice(extinfo any) *Error {
	device, ok := extinfo.([]any)
	if !ok || len(device) != slots {
		return Invalid(fmt.Sprintf("(#100) Param app_data[extinfo] must be a list of %d items", slots))
	}
	if version := oneOf("a2", "i2"); !version.fits(device[slotVersion]) {
		return misshapen("app_data[extinfo][0]", version.words)
	}
	if isEmpty(device[slotOSVersion]) {
		return badEvent(2804043, "Missing OS Version", "Your app event must include the OS version in extinfo.")
	}
	for i, value := range device {
		if want := slotShape(i); value != nil && !want.fits(value) {
			return misshapen(fmt.Sprintf("app_data[extinfo][%d]", i), want.words)
		}
	}
	return nil
}

// slotShape is what a slot of extinfo holds: sizes are integers.
func slotShape(slot int) shape {
	switch slot {
	case 9, 10, 12, 13, 14:
		return orEmpty(anIntegerOrItsText())
	case slotShort:
		return either(aText(), anInteger())
	default:
		return aText()
	}
}
