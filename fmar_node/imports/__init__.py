"""Published registers of others, read into candidate documents. Registering them is a submission like any other."""
