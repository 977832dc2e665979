"""Reading videos by ffmpeg: processes, facts of a file, graphs of filters."""
