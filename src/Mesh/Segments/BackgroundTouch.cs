// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Segments;

/// <summary>Takes the memory of a block from the host ahead of use, in chunks, without holding up anybody.</summary>
internal static class BackgroundTouch
{
    // The kernel holds the address space for the length of one call, some milliseconds at this size: until it is done
    // nothing can be mapped, not even the code that the runtime compiles.
    private const long Chunk = 4L * 1024 * 1024;

    /// <summary>Touches the first <paramref name="length"/> bytes; ends early when the block is disposed.</summary>
    public static Task StartAsync(MemoryBlock block, long length, MeshRuntime runtime, CancellationToken cancel) =>
        runtime.Start(async () =>
        {
            for (long from = 0; from < length; from += Chunk)
            {
                cancel.ThrowIfCancellationRequested();
                if (!block.TouchRange(from, Math.Min(Chunk, length - from), out string? refusal))
                {
                    if (refusal is not null)
                        runtime.Log.CreateLogger<MemoryBlock>().LogWarning("memory not pre-touched: {Why}", refusal);
                    return;
                }

                await Task.Yield();
            }
        });
}
