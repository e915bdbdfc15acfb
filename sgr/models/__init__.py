"""Networks: a backbone, perhaps a unit, a head. One file a kind of backbone, one a head family."""
