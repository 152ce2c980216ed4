"""What the charts share: colours, sheets measured in inches, bars, panels, label placement, and turning figures into files."""
