"""What the charts share: colours, sheets measured in inches, bars, panels, label placement, files."""
