"""Progress bars, number formats, normal forms of text, markers of complete folders, processes, versions."""
