// Package webhook reads what Meta's webhooks say of people who write to a business.
//
// [Reduce] makes of a body the little that attribution needs: which person it is,
// on which account, when, and which click on an ad has brought them. Texts, names
// and media are not even looked at. A body holds up to a thousand updates of many
// people; one that cannot be read never costs its neighbours anything, and what is
// not known is counted and no error, because Meta would send the whole body again.
//
// Whether a body comes from Meta is [Verify]'s to say. Partners who receive
// webhooks themselves may publish the same bodies, or records of their own.
package webhook
