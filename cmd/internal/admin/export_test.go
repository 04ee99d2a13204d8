package admin

// Routes is what the port serves, for requests from anywhere.
var Routes = routes
