"""What a call is: pure. Events of one host go in, facts about its calls come out."""
