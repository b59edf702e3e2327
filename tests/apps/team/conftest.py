raise AssertionError("the tests of the team were imported")
