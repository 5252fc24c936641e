-- revision: 4465047574b1
-- down: 5b0e9adcef9c
-- title: increase max dataset schema size

-- Nothing to do here.
