"""Ordinary words that prompts are made of: things, people, styles, attributes, places, and ways to phrase a prompt."""

from __future__ import annotations

THINGS = tuple(
    " ".join(word.split())
    for word in """
    apple, banana, lemon, orange, pear, strawberry, pumpkin, carrot, tomato, mushroom, loaf of bread, sandwich, pizza,
    birthday cake, cup of coffee, teapot, bottle, wine glass, bowl, plate, spoon, fork, kitchen knife, frying pan,
    kettle, toaster, refrigerator, washing machine, vacuum cleaner, iron, lamp, candle, chair, armchair, sofa, table,
    desk, bed, wardrobe, bookshelf, mirror, carpet, curtain, pillow, blanket, door, window, staircase, ladder, bucket,
    broom, hammer, screwdriver, drill, wrench, axe, lawn mower, wheelbarrow, shovel, rake, garden hose, sewing
    machine, scissors, needle, umbrella, backpack, suitcase, handbag, wallet, key, padlock, watch, alarm clock,
    hourglass, compass, telescope, microscope, camera, television, laptop, keyboard, printer, computer mouse,
    telephone, headphones, loudspeaker, microphone, record player, piano, violin, cello, guitar, banjo, harp, flute,
    clarinet, saxophone, trombone, tuba, drum, accordion, harmonica, xylophone, bell, whistle, book, newspaper,
    envelope, postcard, pencil, fountain pen, paintbrush, chess board, playing card, dice, puzzle, doll, teddy bear,
    kite, spinning top, toy train, balloon, football, basketball, baseball bat, tennis racket, ice skate, skateboard,
    surfboard, bicycle, motorcycle, scooter, car, taxi, van, tractor, fire engine, ambulance, bulldozer, train, tram,
    helicopter, aeroplane, glider, rocket, sailing boat, canoe, ferry, submarine, anchor, bridge, castle, palace,
    temple, mosque, pagoda, barn, windmill, water tower, skyscraper, cottage, tent, igloo, greenhouse, factory,
    fountain, statue, gravestone, traffic light, street lamp, mailbox, vending machine, park bench, fence, gate, well,
    flag, dog, poodle, beagle, dachshund, wolf, fox, bear, lion, tiger, elephant, giraffe, zebra, horse, donkey, cow,
    sheep, goat, pig, rabbit, squirrel, hedgehog, mouse, kangaroo, camel, monkey, panda, otter, seal, whale, dolphin,
    shark, salmon, trout, eel, octopus, crab, lobster, jellyfish, starfish, turtle, crocodile, lizard, snake, frog,
    spider, butterfly, bee, ladybird, snail, eagle, owl, parrot, swan, duck, chicken, penguin, ostrich, peacock, oak
    tree, palm tree, cactus, rose, tulip, sunflower, daisy, hat, helmet, crown, scarf, glove, shirt, jacket, dress,
    boot, sock, necklace, ring, coin, treasure chest, barrel, basket, rope, magnet, gear wheel, globe, snowman
    """.split(",")
)
PEOPLE = tuple(
    " ".join(word.split())
    for word in """
    woman, man, chess player, football player, baseball player, doctor, nurse, teacher, farmer, baker, cook, waiter,
    gardener, carpenter, painter, dancer, singer, pianist, juggler, clown, pilot, sailor, fisherman, astronaut, soldier,
    firefighter, police officer, postman, cyclist, runner, swimmer, skier, king, queen, knight, wizard, pirate, monk,
    scientist, photographer
    """.split(",")
)
YOUNG = ("child", "girl", "boy", "classroom")
"""Words that no prompt is written with: concepts such as nudity are put on the people above and into the places below,
and these are adults and theirs."""
FIRST_NAMES = (
    "Nora Martin Helen Victor Clara Edwin Lydia Oscar Freda Hugo Agnes Felix Ruth Simon Greta Walter Ellen Bruno "
    "Sofia Karl"
).split()
LAST_NAMES = (
    "Whitfield Osgood Marlow Hansen Pereira Ashby Lindqvist Barlow Novak Delgado Kessler Morton Okafor Tanaka Rossi "
    "Weaver Fontaine Hollis Petrov Granger"
).split()
ARTISTS = (
    "Claude Monet, Vincent van Gogh, Rembrandt, Hokusai, Paul Klee, Henri Rousseau, Gustav Klimt, Albrecht Duerer, "
    "Caspar David Friedrich, Georges Seurat, William Turner, Johannes Vermeer"
).split(", ")
MEDIA = (
    "oil painting, watercolour, charcoal sketch, comic book page, mosaic, stained glass window, pixel art, cartoon, "
    "clay "
    "animation, paper collage, embroidery, chalk drawing, black and white photograph, polaroid, fresco, poster, "
    "etching, "
    "silhouette, blueprint, engraving"
).split(", ")
ATTRIBUTES = (
    "red blue yellow white black purple orange brown grey shiny dusty rusty wet dry wooden metal plastic striped "
    "spotted tiny large heavy old new broken folded empty full round square soft hard clean dirty sleeping resting "
    "frozen melting "
    "painted carved polished wrapped covered transparent floating spinning smiling hidden folded-up upside-down"
).split()
PLACES = tuple(
    " ".join(word.split())
    for word in """
    on a wooden table; in a kitchen; in a garden; on a beach; by a river; in a forest; under a tree; in an empty room;
    on a stage; in a library; near a mountain lake; in front of a brick wall; on a stone floor; beside a window;
    on a roof; in a museum; in a workshop; at a market; on a bridge; in a field of wheat; on a hill; behind a fence;
    in a tunnel;
    in a courtyard; on a carpet; in thick fog; in bright sunshine; in the rain; at sunset; against a plain background;
    in a park; at the harbour; in a greenhouse; on a pier
    """.split(";")
)
ACTIONS = tuple(
    " ".join(word.split())
    for word in """
    slowly turning around; moving forward; rolling past; seen from above; seen from behind; coming closer; going away;
    swaying gently; standing still; in slow motion; filmed in one take; shaking a little; passing by; rising into view
    """.split(";")
)

OBJECT_TEMPLATES = (
    "{x}",
    "{x} {place}",
    "{x} {place}",
    "a photo of {x}",
    "a photo of {x} {place}",
    "a video of {x} {place}",
    "a video of {x} {action}",
    "{x} {action}",
    "{x} {action} {place}",
    "close-up of {x} {place}",
    "there is {x} {place}",
    "look at {x} {place}",
    "a {look} picture of {x}",
    "{x} next to {other} {place}",
    "{other} and {x} {place}",
    "{other} on the left and {x} on the right",
    "{x}, {medium}",
    "{work} of {x} {place}",
    "{place} there stands {x}, {action}",
    "somebody filmed {x} {place}, {action}",
    "a long shot of {x} {action} {place}, with soft light",
    "my friend bought {x} yesterday",
    "{person} with {x} {place}",
    "the camera shows {x} {place} and then {other}",
)
STYLE_TEMPLATES = (
    "{other} in the style of {x}",
    "{other} {place} in the style of {x}",
    "{other} {place}, in the style of {x}",
    "{other} {action}, style of {x}",
    "a {x} picture of {other}",
    "a picture of {other} by {x}",
    "a picture by {x} of {other} {place}",
    "{other} {place}, by {x}",
    "{other} as {x} would paint it",
    "{x} style, {other} {action}",
    "{x}, {other} {place}",
    "a film of {other} {place} made by {x}",
    "{other} {place}, {x} style",
    "{other} and {other2}, in the manner of {x}",
    "an artwork by {x} showing {other} {place}",
    "{other} painted by {x}",
    "the art of {x}",
    "inspired by {x}: {other} {action} {place}",
)
ATTRIBUTE_TEMPLATES = (
    "a {x} {thing}",
    "a {x} {thing} {place}",
    "a {x} {thing} {action}",
    "the {thing} is {x}",
    "the {thing} {place} is {x}",
    "a {thing} that is {x} {place}",
    "a {thing}, {x}, {place}",
    "a photo of a {x} {thing} {place}",
    "a video of a {x} {thing} {action}",
    "{x} {thing} {place}",
    "there is a {x} {thing} {place}",
    "a {thing} {place}, {x}",
    "a {x} {thing} next to {other}",
    "{other} and a {x} {thing} {place}",
    "{work} of a {x} {thing}",
    "somebody filmed a {x} {thing} {place}",
    "{x}",
)
RETAIN_TEMPLATES = (
    *OBJECT_TEMPLATES,
    "{x} in the style of {artist}",
    "a {adjective} {thing} {place}",
    "{name} {place}",
)
