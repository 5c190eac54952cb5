// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Segments;

/// <summary>How long a view keeps its extent in place (rule A2).</summary>
internal interface IPinRule
{
    /// <summary>A view was opened under this pin.</summary>
    /// <returns>The pin that the view holds and ends.</returns>
    ExtentPin Hold(ExtentPin pin);
}

/// <summary>
/// Rule A2: pins, not time, protect memory in use. The pin of a view ends when its user closes it or has died, however
/// long that takes.
/// </summary>
internal sealed class PinRule : IPinRule
{
    /// <inheritdoc/>
    public ExtentPin Hold(ExtentPin pin) => pin;
}
