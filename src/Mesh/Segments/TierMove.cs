// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Segments;

/// <summary>An object on its way to the other tier; it is where it was until its copy takes its place.</summary>
/// <param name="Source">The object.</param>
/// <param name="Pin">Keeps its bytes in place.</param>
/// <param name="Target">Where its copy is made.</param>
/// <param name="ToDevice">Whether it moves to a device, or from one.</param>
internal sealed record TierMove(HeldObject Source, ExtentPin Pin, Reservation Target, bool ToDevice);
