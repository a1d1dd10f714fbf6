//! `trivote events`: synthetic HGCal modules as CSV.
