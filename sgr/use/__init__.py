"""A trained network in the hands of somebody who did not train it: predictions of photographs, files to hand on."""
